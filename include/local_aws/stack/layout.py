"""Where the stack keeps its state, which ports it uses and which secrets it made for itself."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local_aws import ports, private_files
from local_aws.seaweedfs import Credentials
from moderation.variables.local_stack import DEFAULT_PORTS, SERVICE_OF_PORT, unusable_in_a_name


class StackError(RuntimeError):
    """Something a person has to change before the stack can go on; the text is one line with the remedy."""


@dataclass(frozen=True)
class Layout:
    """Folders of one checkout.

    :param root: the checkout, which holds ``dags``, ``plugins`` and ``include``.
    """

    root: Path

    @property
    def var(self) -> Path:
        """Everything that the stack writes, apart from ``.env``."""
        return self.root / "var"

    @property
    def home(self) -> Path:
        """The home of the stack's processes."""
        return self.var / "home"

    @property
    def aws(self) -> Path:
        """Configuration and credentials for AWS's SDKs."""
        return self.var / "aws"

    @property
    def run_lock(self) -> Path:
        """Held by a `make run` as long as it lasts."""
        return self.var / "run.lock"

    @property
    def services_lock(self) -> Path:
        """Held while services are started or stopped."""
        return self.var / "services.lock"

    @property
    def logs(self) -> Path:
        """Output of the services."""
        return self.var / "logs"

    @property
    def airflow_home(self) -> Path:
        """AIRFLOW_HOME of the embedded default."""
        return self.var / "airflow"

    @property
    def passwords(self) -> Path:
        """The login file of the embedded Airflow."""
        return self.airflow_home / "simple_auth_manager_passwords.json.generated"

    @property
    def warehouse(self) -> Path:
        """The DuckDB file."""
        return self.var / "warehouse.duckdb"

    @property
    def s3(self) -> Path:
        """What the local S3 holds."""
        return self.var / "s3"

    @property
    def thresholds(self) -> Path:
        """The file of the thresholds in use; an installation of an earlier release has none."""
        return self.var / "thresholds.toml"

    @property
    def parquet(self) -> Path:
        """Local copy of the published Parquet files."""
        return self.var / "parquet"

    @property
    def demo_images(self) -> Path:
        """The images that ship with the repository."""
        return self.root / "include/local_aws/demo_images"

    @property
    def env_file(self) -> Path:
        """What a shell sources to talk to the local services."""
        return self.root / ".env"

    def check(self) -> None:
        """Make sure that the programs of the stack can be given the names of these folders.

        :raises StackError: one of them would take a name for something else.
        """
        text = str(self.root)
        found = unusable_in_a_name(text)
        if found:
            raise StackError(
                f"the checkout cannot work in the folder {text!r}, whose name has {found!r} in it; move it"
            )


@dataclass(frozen=True)
class Secrets:
    """Secrets of one checkout, made at random the first time."""

    s3: Credentials
    airflow_password: str
    jwt_secret: str
    fernet_key: str

    @classmethod
    def load(cls, path: Path) -> Secrets:
        """Read the secrets from ``path``, or make them and store them readable by the owner only.

        :raises StackError: the file exists and is not what this function writes.
        """
        if not path.exists():
            made = {
                "s3_access_key": "AKIA"
                + "".join(secrets.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") for _ in range(16)),
                "s3_secret_key": secrets.token_urlsafe(30),
                "airflow_password": secrets.token_urlsafe(12),
                "jwt_secret": secrets.token_hex(32),
                "fernet_key": secrets.token_urlsafe(32) + "=",
            }
            private_files.folder(path.parent)
            private_files.write(path, json.dumps(made))
        try:
            read = json.loads(path.read_text())
            return cls(
                Credentials(read["s3_access_key"], read["s3_secret_key"]),
                read["airflow_password"],
                read["jwt_secret"],
                read["fernet_key"],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise StackError(f"{path} is damaged ({error!r}); delete it and the folder around it") from error


def choose_port(
    variable: str, environ: Mapping[str, str], *, companion_offset: int = 0, may_move: bool = False
) -> int:
    """Return the port that ``variable`` asks for, or its default.

    :param variable: a key of DEFAULT_PORTS.
    :param companion_offset: distance of a second port the service opens.
    :param may_move: whether a taken default may be replaced by a free port (one that was asked for never is).
    :raises StackError: the value is no port, or the port is taken.
    """
    asked = environ.get(variable, "").strip()
    try:
        port = int(asked or DEFAULT_PORTS[variable])
    except ValueError:
        raise StackError(f"{variable}={asked} is not a port number; use 1024 to 55535") from None
    if not 1024 <= port <= 55535:
        raise StackError(f"{variable}={asked} is out of range; use 1024 to 55535")
    taken = next((p for p in {port, port + companion_offset} if not ports.is_free(p)), None)
    if taken is None:
        return port
    if may_move and not asked:
        return ports.find_free(companion_offset=companion_offset)
    other = ports.find_free(companion_offset=companion_offset)
    raise StackError(
        f"port {taken}, needed for {SERVICE_OF_PORT[variable]}, is taken by another program; "
        f"choose another one, for example: {variable}={other} make ..."
    )
