"""Who may log in to the embedded Airflow: the admin, and whom ``MODERATION_USERS`` names."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from local_aws import private_files
from local_aws.stack.layout import StackError

VARIABLE = "MODERATION_USERS"
ADMIN = "admin"
_ROLES = ("viewer", "user", "op", "admin")
_USER = re.compile(r"([A-Za-z0-9_.@-]{1,64}):([a-z]+)")


def named(text: str) -> dict[str, str]:
    """Role by name, the admin first.

    :param text: what the variable says.

    :raises StackError: the variable is not ``name:role`` pairs separated by commas.
    """
    found = {ADMIN: "admin"}
    for part in text.split(","):
        told = _USER.fullmatch(part.strip())
        if not part.strip():
            continue
        if told is None or told[2] not in _ROLES or told[1] in found:
            raise StackError(
                f"{VARIABLE}: {part.strip()!r} is not name:role, each name once; roles: {', '.join(_ROLES)}. "
                f"For example: {VARIABLE}=anna:user,ben:viewer make up"
            )
        found[told[1]] = told[2]
    return found


def setting(people: Mapping[str, str]) -> str:
    """These people as Airflow's ``simple_auth_manager_users``."""
    return ",".join(f"{name}:{role}" for name, role in people.items())


def keep_passwords(path: Path, people: Mapping[str, str], *, admin: str) -> dict[str, str]:
    """Write the login file and return it: password by name; who had one keeps it.

    :param admin: the admin's password.
    """
    had = passwords(path)
    made = {name: had.get(name) or secrets.token_urlsafe(12) for name in people} | {ADMIN: admin}
    private_files.write(path, json.dumps(made))
    return made


def passwords(path: Path) -> dict[str, str]:
    """Password by name, as the login file has them; of a damaged or missing file none."""
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return {str(name): str(value) for name, value in known.items()} if isinstance(known, dict) else {}
