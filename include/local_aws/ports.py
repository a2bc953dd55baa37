"""Choosing and checking TCP ports on the loopback interface."""

from __future__ import annotations

import random
import socket

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
