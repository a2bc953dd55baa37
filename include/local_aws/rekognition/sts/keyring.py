"""The keys that may sign: those that last, and those of sessions, which end.

The S3 server makes the sessions, because it has to know them too. Here their secrets are kept, in the
server's SQLite file, so that a job goes on after a restart.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.credentials import Credentials, RefreshableCredentials

from local_aws.rekognition.jobs.store import Store
from local_aws.rekognition.wire.auth import Key
from local_aws.rekognition.wire.errors import ApiError

_KEPT_SECONDS: Final = 7 * 86_400
"""A job that a session has started may go on so long after the session's end."""

_TABLE = """
CREATE TABLE IF NOT EXISTS sessions (
    access_key TEXT PRIMARY KEY,
    secret TEXT NOT NULL,
    token_sha256 TEXT NOT NULL,
    role_arn TEXT NOT NULL,
    name TEXT NOT NULL,
    policy TEXT NOT NULL,           -- narrows the role's, '' for none
    root_key TEXT NOT NULL,         -- the lasting key that is behind it
    ends_at REAL NOT NULL
)
"""


@dataclass(frozen=True)
class Grant:
    """What a session may do: a role's rights, narrowed by a policy."""

    role_arn: str
    name: str
    policy: str
    root_key: str

    @property
    def role_session(self) -> str:
        """``role/session``, as in the ARN of who has assumed it."""
        return f"{self.role_arn.rpartition('/')[2]}/{self.name}"


class Keyring:
    """Lasting keys and sessions; safe to use from many threads.

    :param secrets: secret keys by lasting access key.
    :param s3_endpoint_url: the S3 server, which makes sessions.
    :param clock: seconds since 1970.
    """

    def __init__(
        self,
        secrets: Mapping[str, str],
        store: Store,
        s3_endpoint_url: str,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._secrets = secrets
        self._store = store
        self._endpoint_url = s3_endpoint_url
        self._clock = clock
        self._lock = threading.Lock()
        self._clients: dict[str, Any] = {}
        with store.transaction() as db:
            db.execute(_TABLE)
            self._rows = {row["access_key"]: row for row in db.execute("SELECT * FROM sessions")}

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            client.close()

    def find(self, access_key: str, token: str | None) -> Key:
        """Return the key that a request says it was signed with.

        :raises ApiError: UnrecognizedClientException; ExpiredTokenException.
        """
        if token is None and access_key in self._secrets:
            return Key(self._secrets[access_key])
        row = self._rows.get(access_key)
        digest = hashlib.sha256((token or "").encode()).hexdigest()
        if row is None or token is None or not hmac.compare_digest(digest, row["token_sha256"]):
            raise ApiError(
                "UnrecognizedClientException", "The security token included in the request is invalid."
            )
        if self._clock() >= row["ends_at"]:
            raise ApiError("ExpiredTokenException", "The security token included in the request is expired")
        return Key(row["secret"], _grant(row).role_session)

    def rights_of(self, access_key: str) -> Hashable | None:
        """Return the same for all keys that may do the same; None for a key that is not known any more."""
        if access_key in self._secrets:
            return access_key
        row = self._rows.get(access_key)
        return _grant(row) if row is not None and row["root_key"] in self._secrets else None

    def credentials(self, access_key: str) -> Credentials:
        """Return what S3 is used with on behalf of a key, also when its session has ended.

        AWS goes on for a caller whose credentials have ended, as long as what they have started lasts
        (IAM user guide, "Forward access sessions"); so sessions of the same rights follow each other.

        :raises KeyError: the key is not known.
        """
        if access_key in self._secrets:
            return Credentials(access_key, self._secrets[access_key])
        grant = _grant(self._rows[access_key])
        return RefreshableCredentials.create_from_metadata(
            self._renewal(grant), lambda: self._renewal(grant), method="sts-assume-role"
        )

    def assume(self, caller: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Make a session of a role and remember it.

        :param caller: the key, lasting or a session's, that asks.
        :param asked: members of ``AssumeRole``.
        :raises botocore.exceptions.ClientError: the S3 server refuses.
        """
        above = self._rows.get(caller)
        root_key = above["root_key"] if above else caller
        grant = Grant(asked["RoleArn"], asked["RoleSessionName"], asked.get("Policy", ""), root_key)
        answer = self._sts(grant.root_key).assume_role(**asked)
        self._remember(grant, answer["Credentials"])
        return answer

    def _renewal(self, grant: Grant) -> dict[str, Any]:
        asked = {"RoleArn": grant.role_arn, "RoleSessionName": grant.name}
        if grant.policy:
            asked["Policy"] = grant.policy
        made = self._sts(grant.root_key).assume_role(**asked)["Credentials"]
        return {
            "access_key": made["AccessKeyId"],
            "secret_key": made["SecretAccessKey"],
            "token": made["SessionToken"],
            "expiry_time": made["Expiration"].isoformat(),
        }

    def _remember(self, grant: Grant, made: Mapping[str, Any]) -> None:
        row = (
            made["AccessKeyId"],
            made["SecretAccessKey"],
            hashlib.sha256(made["SessionToken"].encode()).hexdigest(),
            grant.role_arn,
            grant.name,
            grant.policy,
            grant.root_key,
            made["Expiration"].timestamp(),
        )
        with self._store.transaction() as db:
            db.execute("DELETE FROM sessions WHERE ends_at < ?", (self._clock() - _KEPT_SECONDS,))
            db.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            self._rows = {row["access_key"]: row for row in db.execute("SELECT * FROM sessions")}

    def _sts(self, root_key: str) -> Any:
        with self._lock:
            if root_key not in self._clients:
                self._clients[root_key] = boto3.session.Session().client(
                    "sts",
                    endpoint_url=self._endpoint_url,
                    aws_access_key_id=root_key,
                    aws_secret_access_key=self._secrets[root_key],
                    region_name="us-east-1",
                    config=Config(retries={"total_max_attempts": 3, "mode": "standard"}, connect_timeout=5),
                )
            return self._clients[root_key]


def _grant(row: Any) -> Grant:
    return Grant(row["role_arn"], row["name"], row["policy"], row["root_key"])
