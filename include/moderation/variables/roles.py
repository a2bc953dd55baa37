"""``MODERATION_ROLES``: whose rights a place is used with."""

from __future__ import annotations

import re
from dataclasses import dataclass

from moderation.variables.row import Value

GLUE, S3_TABLES = "glue:", "s3tables:"
"""No bucket has such names."""

_ENTRY = re.compile(
    r"(?P<place>glue|s3tables|s3://(?P<bucket>[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9])/?)"
    r"\s*=\s*(?P<arn>arn:aws[a-z-]*:iam::\d{12}:role/[A-Za-z0-9_+=,.@/-]{0,500}[A-Za-z0-9_+=.@-])"
    r"(\?external_id=(?P<external_id>[A-Za-z0-9_+=,.@:/-]{2,1224}))?"
)
_BETWEEN = re.compile(r",\s*(?=(?:glue|s3tables)\s*=|s3://)")
_TAKES = "`s3://bucket=arn:aws:iam::…:role/NAME`, `glue=arn:…` or `s3tables=arn:…`, separated by commas"
_SERVICES = {"glue": GLUE, "s3tables": S3_TABLES}


@dataclass(frozen=True)
class RoleOf:
    """A place and the role that it is used with.

    :param place: a bucket's name, :data:`GLUE` or :data:`S3_TABLES`.
    :param external_id: what the role's owner asks for; "" for nothing.
    """

    place: str
    arn: str
    external_id: str = ""


def _parse(text: str) -> tuple[RoleOf, ...]:
    found = []
    for position, entry in enumerate(_BETWEEN.split(text), start=1):
        match = _ENTRY.fullmatch(entry.strip())
        if not match:
            raise ValueError(
                f"entry {position} is none of s3://bucket=arn:aws:iam::…:role/NAME, glue=arn:… and "
                "s3tables=arn:…, each with ?external_id=… behind it where the role asks for one"
            )
        found.append(
            RoleOf(match["bucket"] or _SERVICES[match["place"]], match["arn"], match["external_id"] or "")
        )
    if len({role.place for role in found}) < len(found):
        raise ValueError("a place is named twice")
    return tuple(found)


ROLES = Value(takes=_TAKES, parse=_parse)
