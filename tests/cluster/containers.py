"""Hosts that are containers of the built image, run by buildah with this machine's network."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from cluster.hosts import Host
from local_aws import private_files, process

_TOLD = "/run/moderation.env"
_RUN = f'set -a; . {_TOLD}; set +a; cd "$AIRFLOW_HOME"; exec "$@"'


class Container(Host):
    """A container of the image; it has what is in the image, and nothing of this checkout.

    :param name: its name, among this machine's containers, too.
    :param root: a folder for its log, and for the variables that it is told.
    :param image: of the local storage, which ``CONTAINERS_STORAGE_CONF`` names.
    """

    def __init__(self, name: str, root: Path, image: str) -> None:
        self.name, self._root = name, root
        self._id = _buildah("from", "--name", f"{root.name}-{name}", image)
        self.folder = Path(_buildah("mount", self._id)) / "opt/airflow"

    def start(self, command: list[str], environment: Mapping[str, str]) -> None:
        """Start what it is there for."""
        # By a file: a command line with passwords can be read by everybody on this machine.
        told = self._root / f"{self.name}.env"
        private_files.write(
            told, "".join(f"{name}={shlex.quote(value)}\n" for name, value in environment.items())
        )
        told.chmod(0o644)  # the folder is private, and the image's user is another one
        words = ["buildah", "run", "--isolation", "chroot", "--volume", f"{told}:{_TOLD}:ro"]
        self._process = process.start(
            self.name,
            [*words, self._id, "--", "bash", "-c", _RUN, "bash", *command],
            log_path=self._root / "logs" / f"{self.name}.log",
        )

    def remove(self) -> None:
        """Remove it with its disk."""
        _buildah("rm", self._id)

    release = remove


def _buildah(*words: str) -> str:
    done = subprocess.run(["buildah", *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()
