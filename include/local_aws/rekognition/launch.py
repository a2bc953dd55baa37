"""Starting the offline Rekognition as a process of its own."""

from __future__ import annotations

import json
import os
import secrets
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import local_aws
from local_aws import ports, process
from local_aws.rekognition.configuration import ADMIN_TOKEN, CREDENTIALS, S3_ENDPOINT, SETTINGS
from local_aws.rekognition.settings import ServerSettings
from local_aws.seaweedfs import Credentials


@dataclass(frozen=True)
class Rekognition:
    """A running server; as a context manager it stops at the end.

    :param endpoint_url: what goes into ``AWS_ENDPOINT_URL_REKOGNITION``.
    :param admin_token: bearer token of the ``/_local/`` routes.
    :param process: the server's process group.
    """

    endpoint_url: str
    admin_token: str
    process: process.ServiceProcess

    def stop(self) -> None:
        """Stop at the next checkpoint; a later start with the same folder goes on from there."""
        self.process.stop(grace=15.0)

    def __enter__(self) -> Self:
        """Return the running server."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()


def start(
    state_dir: Path,
    credentials: Credentials | Sequence[Credentials],
    s3_endpoint_url: str,
    *,
    port: int | None = None,
    settings: ServerSettings | None = None,
    admin_token: str | None = None,
    python_path: Sequence[Path] = (),
    timeout: float = 30.0,
) -> Rekognition:
    """Start the server on ``127.0.0.1`` and wait until it answers.

    Secrets reach it through its environment, which other users cannot read, never through its arguments.

    :param state_dir: folder for jobs, ledger and log; made when missing. With a folder that was used before,
        its jobs go on.
    :param credentials: the keys that may sign requests; S3 is used with the key of each request.
    :param s3_endpoint_url: the S3 that holds manifests and images.
    :param port: a free one when None.
    :param settings: those of ``LOCAL_REKOGNITION_SETTINGS`` when None, or the defaults where it is not set.
    :param admin_token: for the ``/_local/`` routes; a random one when None.
    :param python_path: more folders for the server's imports, for a moderator that is not installed.
    :raises process.ServiceError: the port is taken, a setting makes no sense, or it was not ready within
        ``timeout`` seconds.
    """
    chosen = port or ports.find_free()
    if not ports.is_free(chosen):
        raise process.ServiceError(f"port {chosen} of 127.0.0.1, meant for Rekognition, is taken")
    keys = [credentials] if isinstance(credentials, Credentials) else list(credentials)
    token = admin_token or secrets.token_urlsafe(32)
    folders = [str(Path(local_aws.__file__).parents[1]), *map(str, python_path)]
    inherited = os.environ.get("PYTHONPATH")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*folders, inherited] if inherited else folders),
        CREDENTIALS: json.dumps({key.access_key: key.secret_key for key in keys}),
        ADMIN_TOKEN: token,
        S3_ENDPOINT: s3_endpoint_url,
        **({SETTINGS: settings.to_json()} if settings else {}),
    }
    service = process.start(
        "Rekognition",
        [sys.executable, "-m", "local_aws.rekognition", "--port", str(chosen), "--state", str(state_dir)],
        log_path=state_dir / "rekognition.log",
        env=environment,
    )
    endpoint = f"http://127.0.0.1:{chosen}"
    try:
        service.wait_until(lambda: _answers(endpoint), timeout=timeout)
    except BaseException:
        service.stop(grace=1.0)
        raise
    return Rekognition(endpoint, token, service)


def _answers(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(f"{endpoint}/_local/health", timeout=2) as answer:  # noqa: S310 - a loopback address made here
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
