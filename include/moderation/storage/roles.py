"""Credentials by place: a bucket, the catalog, or tables of S3 Metadata may be used with a role of its own.

Who runs a process needs the right to assume the roles, and nothing else. A role's credentials end after an
hour or less; botocore makes new ones while there is time left, so nobody may keep what it has been given.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import boto3
import botocore.session
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    Credentials,
    DeferredRefreshableCredentials,
)

from moderation.variables.machine import MachineSettings
from moderation.variables.roles import RoleOf

_SESSION_NAME = "moderation"
_ROLES_KEPT = 32


def by_place(region: str, session: boto3.Session) -> dict[str, Credentials]:
    """The credentials of each place that ``MODERATION_ROLES`` names, by bucket, ``GLUE`` or ``S3_TABLES``.

    No role is assumed before something is signed with it, and one that is assumed serves the whole process.

    :param session: whose own credentials assume the roles.
    :raises SettingsError: the variable cannot be read.
    """
    machine = MachineSettings.from_env()
    if not machine.roles:
        return {}
    own = session.get_credentials()
    # Credentials that end are renewed in place; those of an environment that was changed are others.
    who = own.access_key if own is not None and own.method in {"env", "explicit"} else ""
    server = machine.s3_endpoint or ""
    return {role.place: _assumed(role, region, who, server) for role in machine.roles}


def session_of(held: Credentials) -> botocore.session.Session:
    """A session of a role, for libraries that make their clients themselves."""
    core = botocore.session.get_session()
    core._credentials = held
    return core


def sign_by_bucket(client: Any, held: Mapping[str, Credentials]) -> None:
    """Have an S3 client sign each call with the credentials of its bucket; its own serve all others."""
    if not held:
        return

    def choose(params: Mapping[str, Any], context: dict[str, Any], **_: Any) -> None:
        if found := held.get(params.get("Bucket", "")):
            context.setdefault("signing", {})["request_credentials"] = found

    client.meta.events.register("before-parameter-build.s3", choose)


@functools.lru_cache(maxsize=_ROLES_KEPT)
def _assumed(role: RoleOf, region: str, who: str, server: str) -> Credentials:
    core = botocore.session.get_session()
    extra = {"RoleSessionName": _SESSION_NAME}
    if role.external_id:
        extra["ExternalId"] = role.external_id
    fetcher = AssumeRoleCredentialFetcher(
        functools.partial(core.create_client, region_name=region),
        core.get_credentials(),
        role.arn,
        extra_args=extra,
    )
    return DeferredRefreshableCredentials(fetcher.fetch_credentials, "assume-role")
