"""Roles of the local account, whose credentials end: what the S3 server is told of them.

A role is assumed with ``AssumeRole`` of the offline endpoint (``AWS_ENDPOINT_URL_STS``). It lets whoever has
a key of this account assume it; what its sessions may do in S3 is its policy.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

ACCOUNT_ID: Final = "123456789012"

_VERSION: Final = "2012-10-17"
_EVERYTHING: Final[Mapping[str, Any]] = {
    "Version": _VERSION,
    "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": ["*"]}],
}
_TRUST: Final[Mapping[str, Any]] = {
    "Version": _VERSION,
    "Statement": [{"Effect": "Allow", "Principal": "*", "Action": ["sts:AssumeRole"]}],
}


@dataclass(frozen=True)
class Role:
    """A role that can be assumed.

    :param policy: what its sessions may do in S3, as an IAM policy document; by default everything.
    """

    name: str
    policy: Mapping[str, Any] = field(default_factory=lambda: _EVERYTHING)

    @property
    def arn(self) -> str:
        """``arn:aws:iam::123456789012:role/NAME``."""
        return f"arn:aws:iam::{ACCOUNT_ID}:role/{self.name}"


DEFAULT: Final = (Role("moderation"),)


def iam_configuration(roles: Sequence[Role], *, session_seconds: int) -> str:
    """The S3 server's file about roles, with a new key that its session tokens are signed with.

    :param session_seconds: how long credentials hold when ``AssumeRole`` does not say.
    """
    return json.dumps(
        {
            "sts": {
                "tokenDuration": f"{session_seconds}s",
                "maxSessionLength": "12h",
                "issuer": "local-sts",
                "accountId": ACCOUNT_ID,
                "signingKey": base64.b64encode(secrets.token_bytes(32)).decode(),
            },
            "policy": {"defaultEffect": "Deny", "storeType": "memory"},
            "roleStore": {"storeType": "memory"},
            "policies": [{"name": role.name, "document": role.policy} for role in roles],
            "roles": [
                {
                    "roleName": role.name,
                    "roleArn": role.arn,
                    "trustPolicy": _TRUST,
                    "attachedPolicies": [role.name],
                }
                for role in roles
            ],
        }
    )
