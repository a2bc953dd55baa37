"""What `make run` leaves running, and what it stops."""

from __future__ import annotations

import os
import sys

import pytest

from local_aws import isolation, process
from local_aws.stack import run as run_command
from local_aws.stack.layout import Layout, StackError
from local_aws.stack.registry import KEPT, Registry, owner_of_this_process


@pytest.fixture
def checkout(tmp_path):
    """A checkout with one service that this process has started; the environment comes back afterwards."""
    before, mask = dict(os.environ), os.umask(0o077)
    layout = Layout(tmp_path)
    code = "import signal; signal.pause()"
    service = process.start("s3", [sys.executable, "-c", code], log_path=layout.logs / "log")
    registry = Registry(layout.var / "services.json")
    registry.add("s3", service.pid, owner=owner_of_this_process())
    yield layout, registry
    isolation.replace(before)
    os.umask(mask)
    service.stop(grace=0.2)


def run(layout, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(run_command, "_run_on", fail)
    return run_command.run(layout, {"IMAGES": str(layout.root), "PATH": os.environ["PATH"]})


def test_what_a_run_under_way_needs_is_left_running_when_nobody_can_look_at_it(checkout, monkeypatch):
    layout, registry = checkout

    with pytest.raises(StackError, match=r"has not answered.*stay up.*make down") as told:
        run(layout, monkeypatch, run_command.StillRunning("Rekognition has not answered for 10 minutes"))

    assert "\n" not in str(told.value)
    assert registry.entries()["s3"].owner == KEPT
    assert registry.stop(owner=KEPT) == ["s3"]


@pytest.mark.parametrize("error", [StackError("a port is taken"), OSError("no room"), KeyboardInterrupt()])
def test_what_a_run_has_started_is_stopped_when_it_cannot_go_on(checkout, monkeypatch, error):
    layout, registry = checkout

    with pytest.raises(type(error)):
        run(layout, monkeypatch, error)

    assert registry.entries() == {}
