"""Hosts: each sees folders of its own where the others see theirs, and shares S3 and databases with them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psutil

from local_aws import process
from support.airflow_home import REPOSITORY
from support.airflow_stack import until

_PRIVATE = """
set -e
mount --bind "$1" "$2"
mount --bind "$5" "$6"
mount -t tmpfs tmpfs "$3"
mount --bind "$2/tmp" /tmp
case "$5" in /tmp/*) mkdir -p "$5"; mount --bind "$6" "$5" ;; esac
hostname "$4"
shift 6
cd "$HOME"
exec "$@"
"""
"""Where the kernel lets us: a mount and name space a host, in which the others' folders do not exist.
Programs of a checkout below /tmp, which each host has for itself, stay where they know themselves to be."""

_CODE = shutil.ignore_patterns("__pycache__", "*.md")


def can_be_private() -> bool:
    """Whether this user may give a process a view of its own of the file system."""
    try:
        return subprocess.run([*_unshare(), "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


class Host:
    """A machine of the cluster.

    :param name: its host name.
    :param root: the folder of all hosts; not below /tmp, which each has for itself.
    :param private: whether the other hosts' folders do not exist for it.
    """

    def __init__(self, name: str, root: Path, *, python: Path, private: bool) -> None:
        self.name, self._root, self._private = name, root, private
        self._programs = python.parent
        self.folder = root / "hosts" / name
        for part in ("home", "tmp", "airflow", "mount"):
            (self.folder / part).mkdir(parents=True, mode=0o700)
        self._seen_as = root / "host" if private else self.folder
        self._install()

    def start(self, command: list[str], environment: Mapping[str, str]) -> None:
        """Start what the machine is there for."""
        words = [str(self._programs / word) if word in {"airflow", "python"} else word for word in command]
        if self._private:
            programs = self._root / "programs"
            for place in (self._seen_as, programs):
                place.mkdir(exist_ok=True)
            places = [self.folder, self._seen_as, self._root / "hosts", self.name]
            places += [self._programs.parent, programs]
            words = [*_unshare(), "sh", "-c", _PRIVATE, "sh", *map(str, places), *words]
        self._process = process.start(
            self.name,
            words,
            log_path=self._root / "logs" / f"{self.name}.log",
            env={**self._own(), **environment},
        )

    def run(self, command: list[str], environment: Mapping[str, str], *, timeout: float) -> None:
        """Start a command and wait for its end.

        :raises RuntimeError: it failed.
        """
        self.start(command, environment)
        if self._process.popen.wait(timeout=timeout) != 0:
            raise RuntimeError(f"{self.name} failed; see {self._root / 'logs' / self.name}.log")

    def alive(self) -> bool:
        """Whether its first process runs."""
        return self._process.popen.poll() is None

    def kill(self) -> None:
        """End all its processes at once, as a machine that loses its power does."""
        leader = psutil.Process(self._process.pid)
        # A task has a process group of its own and would outlive that of the worker.
        killed = [leader, *leader.children(recursive=True)]
        for found in killed:
            with contextlib.suppress(psutil.NoSuchProcess):
                found.kill()
        self._process.popen.wait()
        until(lambda: not any(found.is_running() for found in killed[1:]), what=f"the death of {self.name}")

    def stop(self) -> None:
        """Stop what runs on it."""
        if hasattr(self, "_process"):
            self._process.stop(grace=20.0)

    def remove(self) -> None:
        """Remove its disk."""
        shutil.rmtree(self.folder)

    def release(self) -> None:
        """Give back what this machine has lent it; its disk stays, to be looked at."""

    def files(self) -> list[Path]:
        """What lies on its disk besides code, logs, and the console's cache, all of which can go."""
        left_out = {"dags", "plugins", "include", "logs", "console"}
        return [
            path
            for path in self.folder.rglob("*")
            if path.is_file() and not left_out & set(path.relative_to(self.folder).parts)
        ]

    def _own(self) -> dict[str, str]:
        here = self._seen_as
        return {
            "PATH": f"{self._programs}:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "HOSTNAME": self.name,
            "HOME": str(here / "home"),
            "TMPDIR": str(here / "tmp"),
            "AIRFLOW_HOME": str(here / "airflow"),
            "PYTHONPATH": f"{here}/include:{here}/plugins",
            # As the Dockerfile sets them.
            "OPENBLAS_NUM_THREADS": "1",
            "ARROW_DEFAULT_MEMORY_POOL": "system",
            "AIRFLOW__CORE__DAGS_FOLDER": str(here / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(here / "plugins"),
        }

    def _install(self) -> None:
        """The code as it was when the first host was made, without what stands for AWS here."""
        image = self._root / "image"
        if not image.exists():
            for part in ("plugins", "include/moderation", "dags"):
                shutil.copytree(REPOSITORY / part, image / part, ignore=_CODE)
        shutil.copytree(image, self.folder, dirs_exist_ok=True)


def _unshare() -> list[str]:
    rootless = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", *rootless, "--mount", "--uts"]
