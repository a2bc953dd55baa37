"""Choosing and checking TCP ports on the loopback interface, and asking what listens there."""

from __future__ import annotations

import random
import socket
import urllib.request
from typing import Any

_HOST = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether nothing listens on ``127.0.0.1:port`` and a server could bind it now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
        return True


def find_free(*, companion_offset: int = 0) -> int:
    """Return a free loopback port whose ``port + companion_offset`` is free as well.

    Ports below the kernel's ephemeral range are drawn, so that an outgoing connection cannot take the port
    between this call and the server's bind.

    :param companion_offset: distance of a second port that the server opens by itself (SeaweedFS: 10000).
    :raises OSError: no such port was found in 200 draws.
    """
    draw = random.SystemRandom()
    for _ in range(200):
        port = draw.randint(12000, 22000)
        if is_free(port) and (not companion_offset or is_free(port + companion_offset)):
            return port
    raise OSError("no free loopback port between 12000 and 22000")


def open_local(request: str | urllib.request.Request, *, timeout: float) -> Any:
    """Send an HTTP request to a server of this machine, past every proxy; the answer is a context manager.

    ``urllib`` itself would send a request to 127.0.0.1 through the proxy that a shell or a desktop names.

    :param timeout: seconds without a byte after which it is given up.
    :raises urllib.error.HTTPError: the server refused.
    :raises OSError: nobody answered.
    """
    return _DIRECT.open(request, timeout=timeout)


_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
