"""What docker-compose.yaml tells each service, with addresses of this machine in place of its networks'."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

COMPOSE = Path(__file__).parents[2] / "deploy" / "compose"
_VARIABLE = re.compile(r"\$\{(\w+)(?::([?-])([^}]*))?\}")


class Composed:
    """The compose file with its variables filled in.

    :param variables: what ``.env`` would hold.
    :param addresses: text of the file and what stands for it here, such as ``redis:6379``.
    """

    def __init__(self, variables: Mapping[str, str], addresses: Mapping[str, str]) -> None:
        self._read = yaml.safe_load((COMPOSE / "docker-compose.yaml").read_text())
        self._variables = variables
        self._addresses = addresses

    def environment(self, service: str) -> dict[str, str]:
        """The variables of a service."""
        found = self._read["services"][service].get("environment", {})
        return {name: self._filled(value) for name, value in found.items()}

    def command(self, service: str) -> list[str]:
        """What its container runs: words for Airflow, or a whole command where the entrypoint is a shell."""
        known = self._read["services"][service]
        words = known["command"].split() if isinstance(known["command"], str) else known["command"]
        # As the image's entrypoint does.
        begins = known.get("entrypoint", [] if words[0] in {"bash", "python"} else ["airflow"])
        return [*begins, *(word.replace("$$", "$") for word in words)]

    def _filled(self, value: Any) -> str:
        text = _VARIABLE.sub(self._variable, str(value))
        for there, here in self._addresses.items():
            text = text.replace(there, here)
        return text

    def _variable(self, found: re.Match[str]) -> str:
        name, sign, default = found.groups()
        value = self._variables.get(name, "")
        if not value and sign == "?":
            raise KeyError(f"the compose file needs {name}")
        return value or (default if sign == "-" else "")


def most_connections() -> str:
    """How many PostgreSQL lets in."""
    read = yaml.safe_load((COMPOSE / "docker-compose.yaml").read_text())
    return next(
        word.partition("=")[2]
        for word in read["services"]["postgres"]["command"]
        if word.startswith("max_connections=")
    )


def databases(password: str) -> list[str]:
    """The statements by which the postgres service makes the databases besides Airflow's."""
    text = (COMPOSE / "databases.sh").read_text()
    sql = text.split("<<'SQL'\n")[1].split("\nSQL")[0].replace(":'password'", f"'{password}'")
    return [statement.strip() for statement in sql.split(";") if statement.strip()]
