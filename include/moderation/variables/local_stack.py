"""The local services of a checkout, for a command that was told of nothing else: never AWS by oversight.

Who starts the services leaves a marker in the checkout: the variables that reach them, and their processes. A
command of that checkout takes the variables for as long as it runs, unless its environment names places or a
way to credentials of AWS. A file in the home is no such way: it is there all the time, and says nothing about
what is meant here.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moderation.errors import NeedsAPersonError

CHECKOUT = Path(__file__).absolute().parents[3]
"""The checkout that holds this code; an installation without one has no marker there."""

DEFAULT_PORTS = {"S3_PORT": 8333, "REKOGNITION_PORT": 8334, "AIRFLOW_PORT": 8080}
SERVICE_OF_PORT = {"S3_PORT": "S3", "REKOGNITION_PORT": "Rekognition", "AIRFLOW_PORT": "the Airflow page"}
COMPANION_OF_PORT = {"S3_PORT": 10_000}
"""How far above its port a service needs a second one."""

MARKER = Path("var") / "local.json"
"""The marker's place in a checkout."""

_ELDER = Path("var") / "secrets.json"
"""What the services leave besides, and left before they left a marker."""

_OTHERS_CAN_TOUCH = 0o077
_KEY, _S3 = "AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL_S3"

_PLACES = {
    "MODERATION_WORK_URI", "MODERATION_INPUT_URI", "MODERATION_TABLES_URI", "MODERATION_CATALOG_URI",
    "MODERATION_WAREHOUSE", "MODERATION_WAREHOUSES", "MODERATION_PARQUET_DIR", "MODERATION_REPORT_DIR",
    "MODERATION_REVIEW_DB",
}  # fmt: skip
_CREDENTIALS = {
    _KEY, "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CREDENTIAL_FILE",
    "BOTO_CONFIG", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE",
}  # fmt: skip
_HOSTED = {"AWS_EXECUTION_ENV", "KUBERNETES_SERVICE_HOST"}
_SOMEWHERE_ELSE = ("AWS_CONTAINER_", "AWS_ENDPOINT_URL", "ECS_CONTAINER_")


class LocalStackError(NeedsAPersonError):
    """The local services do not run, or are no longer where the environment says."""


@dataclass(frozen=True)
class LocalStack:
    """What a marker says.

    :param checkout: the folder of the checkout.
    :param environment: the variables that reach the services.
    :param processes: id and start time (seconds since 1970) of each service.
    """

    checkout: Path
    environment: Mapping[str, str]
    processes: tuple[tuple[int, float], ...]

    def write(self, write: Callable[[Path, str], Any]) -> None:
        """Leave the marker in the checkout.

        :param write: replaces a file by one that only its owner can read.
        """
        content = {
            "checkout": str(self.checkout),
            "environment": dict(self.environment),
            "processes": self.processes,
        }
        write(self.checkout / MARKER, json.dumps(content))

    @classmethod
    def of(cls, checkout: Path) -> LocalStack | None:
        """The marker of a checkout; None where none was ever written, or no `make` could start services.

        :raises LocalStackError: what was written is lost, damaged, another user's, or of another folder. AWS,
            asked instead, would be paid.
        """
        path = checkout / MARKER
        if not (checkout / "Makefile").exists() or not (path.exists() or (checkout / _ELDER).exists()):
            return None
        try:
            about = path.stat()
            content = json.loads(path.read_text(encoding="utf-8"))
            environment = {str(name): str(value) for name, value in content["environment"].items()}
            processes = tuple((int(pid), float(started)) for pid, started in content["processes"])
            written_in = Path(content["checkout"])
            is_whole = {_KEY, _S3} <= environment.keys()
        except FileNotFoundError:
            raise LocalStackError(_anew(checkout, "is not there")) from None
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            raise LocalStackError(_anew(checkout, "is damaged")) from None
        if not is_whole:
            raise LocalStackError(_anew(checkout, "is damaged"))
        if os.geteuid() not in {0, about.st_uid} or about.st_mode & _OTHERS_CAN_TOUCH:
            raise LocalStackError(_anew(checkout, "belongs to another user, or others can change it"))
        if not (written_in.exists() and written_in.samefile(checkout)):
            raise LocalStackError(_anew(checkout, f"was written in {written_in}"))
        return cls(checkout, environment, processes)

    def is_running(self) -> bool:
        """Whether the very processes that were started still run."""
        import psutil  # noqa: PLC0415 - an image for production has no use for it

        def runs(pid: int, started: float) -> bool:
            try:
                found = psutil.Process(pid)
                return found.status() != psutil.STATUS_ZOMBIE and bool(found.create_time() == started)
            except psutil.Error:
                return False

        return bool(self.processes) and all(runs(*process) for process in self.processes)

    def check(self, *, endpoint: str | None) -> None:
        """Make sure that the services run, and where they are looked for.

        :param endpoint: of S3, in the environment.
        :raises LocalStackError: they do not.
        """
        if not self.is_running():
            raise LocalStackError(f"the services are stopped: {_make(self.checkout)} services")
        if endpoint != self.environment[_S3]:
            file = shlex.quote(str(self.checkout / ".env"))
            raise LocalStackError(
                f"the services have moved since this shell read .env: set -a; . {file}; set +a"
            )


def told_where(environ: Mapping[str, str]) -> list[str]:
    """The variables that name places, a way to credentials of AWS, or a host that has one."""
    telling = _PLACES | _CREDENTIALS | _HOSTED
    set_ = (name for name, value in environ.items() if value.strip())
    return sorted(name for name in set_ if name in telling or name.startswith(_SOMEWHERE_ELSE))


def unusable_in_a_name(folder: str) -> str | None:
    """What in the name of a checkout's folder a program of the stack would take for something else.

    A list of folders is split at colons, DuckDB takes some signs for a pattern of names, and Airflow puts
    variables of its environment in place of their names.
    """
    found = re.search(rf"[{re.escape(os.pathsep)}?*\r\n]|\$[A-Z_{{]", folder)
    return found[0] if found else None


def quoted(path: Path) -> str:
    """The path as a shell reads it."""
    return shlex.quote(str(path))


@contextmanager
def taken(
    environ: MutableMapping[str, str],
    checkout: Path,
    say: Callable[[str], Any],
    *,
    asked: bool = False,
    needed: bool = True,
) -> Iterator[LocalStack | None]:
    """Let the local services of a checkout be what ``environ`` reaches for the length of a block.

    :param say: is told so, in one line.
    :param asked: take them whatever ``environ`` says; then nothing is told.
    :param needed: whether any service is to be asked; if not, a marker that cannot be used is as none.
    :return: them, also when ``environ`` named them already; None when it names others, or there are none.
    :raises LocalStackError: they were asked for and there are none, or the marker cannot be used.
    """
    told = bool(told_where(environ)) and not asked
    try:
        stack = LocalStack.of(checkout)
    except LocalStackError:
        if asked or (needed and not told):
            raise
        stack = None
    if stack is None and asked:
        make = _make(checkout)
        raise LocalStackError(f"{checkout} has no local services yet: {make} run, or {make} services")
    if stack is None or told:
        yield stack if stack and environ.get(_KEY) == stack.environment[_KEY] else None
        return
    before = {name: environ.get(name) for name in stack.environment}
    environ.update(stack.environment)
    if not asked:
        say(f"the local services of {checkout} are used, not AWS (for AWS, set AWS_PROFILE or a key)")
    try:
        yield stack
    finally:
        for name, value in before.items():
            if value is None:
                environ.pop(name, None)
            else:
                environ[name] = value


def _anew(checkout: Path, what: str) -> str:
    return (
        f"{checkout / MARKER}, which leads to the local services, {what}: {_make(checkout)} services "
        "writes it anew (for AWS, set AWS_PROFILE or a key)"
    )


def _make(checkout: Path) -> str:
    """How `make` is called for a checkout from the working directory."""
    return "make" if Path.cwd() == checkout else f"make -C {shlex.quote(str(checkout))}"
