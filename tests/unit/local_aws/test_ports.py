from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_aws import ports

DRAWS = """
import sys
from local_aws import ports
print(ports.find_free(companion_offset=10_000), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def drawn_elsewhere() -> Iterator[int]:
    """A port that another process has drawn, on which nothing listens yet."""
    environment = {**os.environ, "PYTHONPATH": str(Path(ports.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", DRAWS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as other:
        yield int(other.stdout.readline())
        other.stdin.close()


def only(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setattr(ports, "_DRAWN", (port, port))


@pytest.mark.parametrize("above", [0, 10_000])
def test_a_port_that_another_process_has_drawn_for_its_server_is_not_drawn_too(
    drawn_elsewhere, monkeypatch, above
):
    only(monkeypatch, drawn_elsewhere + above)
    with pytest.raises(OSError, match="no free loopback port"):
        ports.find_free()


def test_a_port_whose_companion_is_drawn_elsewhere_is_not_drawn(drawn_elsewhere, monkeypatch):
    only(monkeypatch, drawn_elsewhere - 1)
    with pytest.raises(OSError, match="no free loopback port"):
        ports.find_free(companion_offset=1)


def test_a_server_can_listen_on_a_port_that_was_drawn_for_it(monkeypatch):
    port = ports.find_free()
    assert ports.is_free(port)
    with socket.create_server(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
        assert not ports.is_free(port)
        only(monkeypatch, port)
        with pytest.raises(OSError, match="no free loopback port"):
            ports.find_free()


def test_drawing_many_ports_takes_few_descriptors():
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(200):
        ports.find_free(companion_offset=10_000)
    assert len(os.listdir("/proc/self/fd")) <= before + 64
