from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import time
from collections import namedtuple
from types import SimpleNamespace

import pytest

from moderation.doctor import machine
from moderation.doctor.finding import Level, Place

GB = 10**9


def levels(found):
    return [finding.level for finding in found]


@pytest.mark.parametrize(
    ("version", "level"),
    [((3, 10), Level.STOP), ((3, 11), Level.OK), ((3, 14), Level.OK), ((3, 15), Level.STOP)],
)
def test_a_python_without_packages_for_it_stops(told, monkeypatch, version, level):
    monkeypatch.setattr(sys, "version_info", (*version, 0))
    (finding,) = told(machine.python)
    assert finding.level is level
    assert ("PYTHON=" in finding.remedy) == (level is Level.STOP)


def test_a_python_that_cannot_make_environments_stops_until_it_is_installed(told, place, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert levels(told(machine.python)) == [Level.STOP]
    (place.checkout / ".venv").mkdir()
    (place.checkout / ".venv/.installed").touch()
    assert levels(told(machine.python)) == [Level.OK]


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        (("Linux", "glibc", "x86_64"), Level.OK),
        (("Linux", "glibc", "aarch64"), Level.OK),
        (("Darwin", "", "arm64"), Level.OK),
        (("Linux", "", "x86_64"), Level.STOP),
        (("Linux", "glibc", "armv7l"), Level.STOP),
        (("Windows", "", "AMD64"), Level.STOP),
    ],
)
def test_a_system_without_packages_for_it_stops(told, monkeypatch, kind, level):
    system, libc, processor = kind
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "libc_ver", lambda: (libc, "2"))
    monkeypatch.setattr(platform, "machine", lambda: processor)
    assert levels(told(machine.system)) == [level]


def test_without_a_compiler_it_is_slower(told, monkeypatch):
    monkeypatch.setattr(machine, "_built", lambda: None)
    monkeypatch.setenv("CXX", "/nonexistent/c++")
    (finding,) = told(machine.compiler)
    assert (finding.level, "g++" in finding.remedy) == (Level.WARNING, True)
    monkeypatch.setenv("CXX", shutil.which("true"))
    assert levels(told(machine.compiler)) == [Level.OK]


Disk = namedtuple("Disk", "f_bavail f_frsize f_flag f_files f_favail", defaults=(1, 0, 10**6, 10**6))


@pytest.fixture
def disk_of_checkout(place, monkeypatch):
    """Give the checkout's disk this state; the temporary folder's is roomy."""

    def give(disk):
        monkeypatch.setattr(os, "statvfs", lambda folder: disk if folder == place.checkout else Disk(50 * GB))

    return give


@pytest.mark.parametrize(
    ("free", "level"), [(50 * GB, Level.OK), (int(1.5 * GB), Level.WARNING), (1 * GB, Level.STOP)]
)
def test_a_disk_must_have_room_for_what_is_still_to_be_installed(told, disk_of_checkout, free, level):
    disk_of_checkout(Disk(free))
    assert levels(told(machine.disk)) == [level, Level.OK]


@pytest.mark.parametrize(
    ("disk", "level"),
    [
        (Disk(50 * GB), Level.OK),
        (Disk(int(0.4 * GB)), Level.WARNING),
        (Disk(10**7), Level.STOP),
        (Disk(50 * GB, f_favail=3), Level.STOP),
        (Disk(50 * GB, f_flag=os.ST_RDONLY), Level.STOP),
    ],
)
def test_once_installed_it_must_have_room_for_a_run(told, place, disk_of_checkout, disk, level):
    (place.checkout / ".venv").mkdir()
    (place.checkout / ".venv/.installed").touch()
    disk_of_checkout(disk)
    assert levels(told(machine.disk)) == [level, Level.OK]


def test_a_full_temporary_folder_is_told_with_the_variable_that_names_another(told, place, monkeypatch):
    monkeypatch.setattr(os, "statvfs", lambda folder: Disk(50 * GB if folder == place.checkout else 10**6))
    _, finding = told(machine.disk)
    assert (finding.level, "TMPDIR=" in finding.remedy) == (Level.STOP, True)
    assert tempfile.gettempdir() in finding.found


@pytest.mark.parametrize(
    ("available", "level"),
    [(8 * GB, Level.OK), (2 * GB, Level.WARNING), (GB / 2, Level.STOP), (None, Level.OK)],
)
def test_memory_must_suffice_for_the_stack(told, monkeypatch, available, level):
    monkeypatch.setattr(machine, "_available_bytes", lambda: available)
    assert levels(told(machine.memory)) == [level]


@pytest.mark.parametrize(("limit", "is_it"), [("1000000\n", True), ("max\n", False)])
def test_a_containers_limit_counts_as_its_memory(tmp_path, monkeypatch, limit, is_it):
    (tmp_path / "max").write_text(limit)
    monkeypatch.setattr(machine, "_CGROUP", tmp_path / "max")
    assert (machine._available_bytes() == 1_000_000) == is_it


@pytest.mark.parametrize(
    ("limits", "level", "remedy"),
    [
        ((256, 10**6), Level.WARNING, "ulimit -n 4096"),
        ((256, 512), Level.WARNING, "ask"),
        ((4096, 4096), Level.OK, ""),
    ],
)
def test_few_open_files_are_told_with_how_to_have_more(told, monkeypatch, limits, level, remedy):
    monkeypatch.setattr("resource.getrlimit", lambda what: limits)
    (finding,) = told(machine.open_files)
    assert (finding.level, remedy in finding.remedy) == (level, True)


@pytest.mark.parametrize(
    ("hours", "adjusted", "level"),
    [(0, True, Level.OK), (0, None, Level.OK), (0, False, Level.WARNING), (-24 * 365, True, Level.STOP)],
)
def test_a_wrong_clock_is_told(told, monkeypatch, hours, adjusted, level):
    now = time.time()
    monkeypatch.setattr(machine, "_is_adjusted", lambda: adjusted)
    monkeypatch.setattr(
        machine,
        "time",
        SimpleNamespace(time=lambda: now + hours * 3600, strftime=time.strftime, gmtime=time.gmtime),
    )
    assert levels(told(machine.clock)) == [level]


@pytest.mark.parametrize(("said", "is_it"), [("yes", True), ("no", False), ("", None)])
def test_who_keeps_the_clock_is_asked(tmp_path, monkeypatch, said, is_it):
    program = tmp_path / "timedatectl"
    program.write_text(f"#!/bin/sh\necho {said}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert machine._is_adjusted() is is_it


def test_a_folder_whose_name_cannot_be_worked_in_and_what_another_user_has_written_stop(
    told, place, monkeypatch
):
    assert levels(told(machine.checkout)) == [Level.OK]
    odd = Place(place.checkout.parent / "a:b", {}, place.home)
    assert levels(machine.checkout(odd)) == [Level.STOP]
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    (finding,) = told(machine.checkout)
    assert (finding.level, "chown" in finding.remedy) == (Level.STOP, True)
