from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys

import psutil
import pytest

from local_aws import process
from local_aws.stack.registry import KEPT, Registry, owner_of_this_process


@pytest.fixture
def sleeper(tmp_path):
    started = []

    def start(code: str = "import signal; print('up', flush=True); signal.pause()", cwd=None):
        service = process.start("sleeper", [sys.executable, "-c", code], log_path=tmp_path / "log", cwd=cwd)
        service.wait_until(lambda: "up" in service.log_path.read_text(), timeout=240)
        started.append(service)
        return service

    yield start
    for service in started:
        service.stop(grace=0.2)


def test_a_registered_service_is_found_by_another_command_and_stopped(tmp_path, sleeper):
    service = sleeper()
    Registry(tmp_path / "r.json").add("one", service.pid, owner=KEPT, facts={"port": 1})

    other = Registry(tmp_path / "r.json")

    assert other.entries()["one"].facts == {"port": 1}
    assert other.stop(owner=KEPT) == ["one"]
    assert service.popen.poll() is not None
    assert other.entries() == {}


def test_a_process_that_merely_got_the_same_id_is_never_stopped(tmp_path, sleeper):
    service = sleeper()
    registry = Registry(tmp_path / "r.json")
    entry = registry.add("one", service.pid, owner=KEPT)
    path = tmp_path / "r.json"
    path.write_text(path.read_text().replace(str(entry.started), str(entry.started - 5)))

    assert registry.stop() == []
    assert service.popen.poll() is None


def test_services_of_another_owner_are_left_alone(tmp_path, sleeper):
    kept, mine = sleeper(), sleeper()
    registry = Registry(tmp_path / "r.json")
    registry.add("kept", kept.pid, owner=KEPT)
    registry.add("mine", mine.pid, owner=owner_of_this_process())

    assert registry.stop(owner=owner_of_this_process()) == ["mine"]
    assert list(registry.entries()) == ["kept"]


def test_what_a_killed_command_left_behind_is_stopped_by_the_next(tmp_path, sleeper):
    path = tmp_path / "r.json"
    service = sleeper()
    registering = (
        "import sys; from pathlib import Path; from local_aws.stack.registry import *;"
        "Registry(Path(sys.argv[1])).add('left', int(sys.argv[2]), owner=owner_of_this_process())"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", registering, str(path), str(service.pid)], env=environ, check=True)

    assert Registry(path).stop_orphans() == ["left"]
    assert service.popen.poll() is not None


def test_services_of_a_living_command_are_no_orphans(tmp_path, sleeper):
    registry = Registry(tmp_path / "r.json")
    registry.add("mine", sleeper().pid, owner=owner_of_this_process())

    assert registry.stop_orphans() == []


def test_stopping_takes_the_children_along_even_when_they_ignore_sigterm(tmp_path, sleeper):
    stubborn = (
        "import signal, subprocess, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()']); print('up', flush=True);"
        "signal.pause()"
    )
    service = sleeper(stubborn)
    children = psutil.Process(service.pid).children()

    service.stop(grace=0.5)

    assert children
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


PARENT = (
    "import subprocess, sys, signal;"
    "subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'], process_group={group});"
    "print('up', flush=True); signal.pause()"
)


def is_running(child: psutil.Process) -> bool:
    return child.is_running() and child.status() != psutil.STATUS_ZOMBIE


def test_stopping_takes_along_a_child_that_has_left_the_group(sleeper):
    service = sleeper(PARENT.format(group=0))
    (child,) = psutil.Process(service.pid).children()

    service.stop(grace=0.5)

    assert not is_running(child)


@pytest.mark.parametrize("here", [True, False])
def test_what_a_killed_service_left_is_stopped_unless_it_is_somebody_elses(tmp_path, sleeper, here):
    service = sleeper(PARENT.format(group=None), cwd=tmp_path if here else None)
    registry = Registry(tmp_path / "r.json")
    registry.add("scheduler", service.pid, owner=KEPT)
    (child,) = psutil.Process(service.pid).children()
    service.popen.kill()
    service.popen.wait()

    assert registry.stop_remnants() == (["scheduler"] if here else [])
    assert is_running(child) is not here


def test_a_service_that_ends_at_once_is_reported_with_its_log(tmp_path):
    service = process.start(
        "broken", [sys.executable, "-c", "raise SystemExit('no disk')"], log_path=tmp_path / "log"
    )

    with pytest.raises(process.ServiceError, match=r"broken ended with code 1(.|\n)*no disk"):
        service.wait_until(lambda: False, timeout=20)


def test_waiting_for_a_service_ends_within_its_bound(sleeper):
    with pytest.raises(process.ServiceError, match="not ready after 0 s"):
        sleeper().wait_until(lambda: False, timeout=0.2)


def test_a_program_that_does_not_exist_is_a_clear_error(tmp_path):
    with pytest.raises(process.ServiceError, match="could not be started"):
        process.start("ghost", ["/nonexistent/program"], log_path=tmp_path / "log")


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', "{"])
def test_a_damaged_registry_counts_as_empty(tmp_path, content):
    (tmp_path / "r.json").write_text(content)

    assert Registry(tmp_path / "r.json").entries() == {}


def test_what_died_is_remembered_as_long_as_something_else_runs(tmp_path, sleeper):
    registry = Registry(tmp_path / "r.json")
    dead, alive = sleeper(), sleeper()
    registry.add("dead", dead.pid, owner=KEPT, facts={"port": 7})
    registry.add("alive", alive.pid, owner=KEPT)
    assert registry.lost() == {}

    dead.stop(grace=0.2)
    registry.add("another", sleeper().pid, owner=KEPT)

    assert registry.lost()["dead"].facts == {"port": 7}
    registry.stop(owner=owner_of_this_process())
    assert registry.lost()["dead"].facts == {"port": 7}
    registry.stop()
    assert registry.lost() == {}


def test_services_that_are_handed_over_outlive_the_command_that_started_them(tmp_path, sleeper):
    registry = Registry(tmp_path / "r.json")
    registry.add("s3", sleeper().pid, owner=owner_of_this_process())
    registry.add("scheduler", sleeper().pid, owner=owner_of_this_process())

    assert registry.hand_over("s3") == ["s3"]

    assert registry.stop(owner=owner_of_this_process()) == ["scheduler"]
    assert registry.stop(owner=KEPT) == ["s3"]


def test_what_a_command_that_is_broken_off_took_over_is_again_whose_it_was(tmp_path, sleeper):
    registry, mine = Registry(tmp_path / "r.json"), owner_of_this_process()
    registry.add("s3", sleeper().pid, owner=mine)
    registry.add("left by a dead run", sleeper().pid, owner="run:1:0.5")
    registry.add("kept before", sleeper().pid, owner=KEPT)
    before = registry.entries()
    registry.hand_over()
    registry.add("triggerer", sleeper().pid, owner=KEPT)

    registry.give_back(before)
    assert registry.stop(owner=KEPT, spare=before) == ["triggerer"]

    assert {name: entry.owner for name, entry in registry.entries().items()} == {
        "s3": mine,
        "kept before": KEPT,
    }


def test_what_cannot_be_written_down_is_stopped_and_no_file_is_left(tmp_path, sleeper, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    service = sleeper()
    monkeypatch.setattr("local_aws.private_files.os.fsync", full)

    with pytest.raises(OSError, match="No space left"):
        Registry(tmp_path / "registry" / "r.json").add("s3", service.pid, owner=KEPT)

    assert service.popen.poll() is not None
    assert list((tmp_path / "registry").iterdir()) == []


def test_what_a_killed_service_leaves_outside_its_folder_is_removed_and_nothing_else(tmp_path, sleeper):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "left.sock"))
    (tmp_path / "file").touch()
    service = sleeper()
    registry = Registry(tmp_path / "r.json")
    registry.add(
        "s3", service.pid, owner=KEPT, facts={"leaves": [str(tmp_path / "left.sock"), str(tmp_path / "file")]}
    )

    registry.stop()

    assert not (tmp_path / "left.sock").exists()
    assert (tmp_path / "file").exists()
