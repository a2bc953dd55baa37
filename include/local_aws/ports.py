"""Choosing and checking TCP ports on the loopback interface, and asking what listens there."""

from __future__ import annotations

import os
import random
import socket
import urllib.request
from collections import deque
from collections.abc import Iterable
from typing import Any

_HOST = "127.0.0.1"
_DRAWN = (12_000, 22_000)
_MOST_HELD = 64
_HELD: deque[int] = deque()
"""Descriptors of the ports drawn last; a server has long bound those before."""


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
    between this call and the server's bind; and this process holds it meanwhile, so that no other one draws
    it too. A server can bind it all the same if it sets ``SO_REUSEADDR``, as servers do.

    :param companion_offset: distance of a second port that the server opens by itself (SeaweedFS: 10000).
    :raises OSError: no such port was found in 200 draws.
    """
    draw = random.SystemRandom()
    for _ in range(200):
        port = draw.randint(*_DRAWN)
        if _hold({port, port + companion_offset}):
            return port
    raise OSError(f"no free loopback port between {_DRAWN[0]} and {_DRAWN[1]}")


def _hold(numbers: Iterable[int]) -> bool:
    """Bind ports without listening there; False, and none is bound, if somebody has one of them."""
    taken: list[socket.socket] = []
    try:
        for number in numbers:
            taken.append(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            taken[-1].bind((_HOST, number))
    except OSError:
        for probe in taken:
            probe.close()
        return False
    for probe in taken:
        # Only now: two that allow it, and do not listen, may bind one port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _HELD.append(probe.detach())
    while len(_HELD) > _MOST_HELD:
        os.close(_HELD.popleft())
    return True


def open_local(request: str | urllib.request.Request, *, timeout: float) -> Any:
    """Send an HTTP request to a server of this machine, past every proxy; the answer is a context manager.

    ``urllib`` itself would send a request to 127.0.0.1 through the proxy that a shell or a desktop names.

    :param timeout: seconds without a byte after which it is given up.
    :raises urllib.error.HTTPError: the server refused.
    :raises OSError: nobody answered.
    """
    return _DIRECT.open(request, timeout=timeout)


_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
