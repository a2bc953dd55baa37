"""Reading and writing S3 with the credentials of the caller."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

_FORBIDDEN = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AllAccessDisabled"}
_CONNECTIONS = 32


class ObjectMissing(Exception):
    """The bucket, the object or the version does not exist."""


class ObjectForbidden(Exception):
    """S3 refuses the caller's key."""


class ObjectTooLarge(Exception):
    """The object is larger than what was asked for; its body was not read."""

    def __init__(self, size: int) -> None:
        super().__init__(f"{size} bytes")
        self.size = size


class StorageRefused(Exception):
    """S3 refuses the request itself, for example its encryption settings."""


class StorageUnavailable(Exception):
    """S3 did not answer or had an error of its own; a later try may succeed."""


class MemoryBudget:
    """Bounds the bytes of encoded images that are in memory at once.

    An image larger than the whole budget is let in when nothing else is.

    :param limit: bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._changed = threading.Condition()

    def acquire(self, size: int) -> None:
        """Wait until there is room."""
        with self._changed:
            self._changed.wait_for(lambda: self._used == 0 or self._used + size <= self._limit)
            self._used += size

    def release(self, size: int) -> None:
        """Give room back."""
        with self._changed:
            self._used -= size
            self._changed.notify_all()


@dataclass(frozen=True)
class Held:
    """An object in memory, counted against the budget until :meth:`release`."""

    data: bytes
    budget: MemoryBudget

    def release(self) -> None:
        """Give its room back; call once."""
        self.budget.release(len(self.data))


class ObjectStore:
    """S3 as a set of callers sees it.

    :param endpoint_url: S3's address; the server talks to no other.
    :param secrets: secret keys by access key.
    :param budget: memory for what :meth:`read` returns.
    """

    def __init__(self, endpoint_url: str, secrets: Mapping[str, str], budget: MemoryBudget) -> None:
        self._endpoint_url = endpoint_url
        self._secrets = secrets
        self._budget = budget
        self._clients: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            client.close()

    def read(self, caller: Caller, bucket: str, key: str, *, limit: int, version: str | None = None) -> Held:
        """Return a whole object.

        :param limit: greatest size in bytes.
        :raises ObjectTooLarge: it is larger.
        :raises ObjectMissing: it does not exist.
        :raises ObjectForbidden: the caller may not read it.
        :raises StorageUnavailable: S3 is away.
        """
        extra = {"VersionId": version} if version else {}
        with _translated():
            answer = self._client(caller).get_object(Bucket=bucket, Key=key, **extra)
            body, size = answer["Body"], int(answer["ContentLength"])
            with body:
                if size > limit:
                    raise ObjectTooLarge(size)
                self._budget.acquire(size)
                try:
                    data = body.read()
                    if len(data) != size:
                        raise StorageUnavailable(f"{len(data)} of {size} bytes arrived")
                except BaseException:
                    self._budget.release(size)
                    raise
        return Held(data, self._budget)

    def size(self, caller: Caller, bucket: str, key: str, version: str | None = None) -> int:
        """Return an object's size in bytes; errors as :meth:`read`."""
        extra = {"VersionId": version} if version else {}
        with _translated():
            return int(self._client(caller).head_object(Bucket=bucket, Key=key, **extra)["ContentLength"])

    def download(
        self, caller: Caller, bucket: str, key: str, target: Path, version: str | None = None
    ) -> None:
        """Copy an object into a file, which appears only when it is whole; errors as :meth:`read`."""
        part = target.with_name(target.name + ".part")
        extra = {"VersionId": version} if version else {}
        with _translated():
            body = self._client(caller).get_object(Bucket=bucket, Key=key, **extra)["Body"]
            with body, part.open("wb") as out:
                for block in body.iter_chunks(1024 * 1024):
                    out.write(block)
        part.replace(target)

    def check_bucket(self, caller: Caller, bucket: str) -> None:
        """Check that a bucket exists; a caller who may not look at the bucket itself passes.

        :raises ObjectMissing: it does not.
        """
        with _translated():
            try:
                self._client(caller).head_bucket(Bucket=bucket)
            except ClientError as error:
                if _status(error) != 403:
                    raise

    def upload(self, caller: Caller, source: Path, bucket: str, key: str, *, kms_key: str | None) -> None:
        """Write a file as one object, which appears whole or not at all.

        :raises StorageRefused: S3 does not accept the request, for example its KMS key.
        :raises ObjectMissing: the bucket does not exist; further errors as :meth:`read`.
        """
        extra = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}
        with _translated(), source.open("rb") as body:
            self._client(caller).put_object(
                Bucket=bucket, Key=key, Body=body, ContentType="application/json", **extra
            )

    def _client(self, caller: Caller) -> Any:
        secret = self._secrets.get(caller.access_key)
        if secret is None:
            raise ObjectForbidden("the key that signed the request is no longer known")
        place = (caller.access_key, caller.region)
        with self._lock:
            if place not in self._clients:
                self._clients[place] = boto3.session.Session().client(
                    "s3",
                    endpoint_url=self._endpoint_url,
                    aws_access_key_id=caller.access_key,
                    aws_secret_access_key=secret,
                    region_name=caller.region,
                    config=Config(
                        s3={"addressing_style": "path"},
                        retries={"total_max_attempts": 2, "mode": "standard"},
                        connect_timeout=5,
                        read_timeout=30,
                        max_pool_connections=_CONNECTIONS,
                    ),
                )
            return self._clients[place]


@dataclass(frozen=True)
class Caller:
    """On whose behalf S3 is used."""

    access_key: str
    region: str


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        _translate(error)
    except ParamValidationError as error:
        raise StorageRefused("the bucket or key has a form that S3 does not allow") from error
    except BotoCoreError as error:
        raise StorageUnavailable(type(error).__name__) from error


def _translate(error: ClientError) -> NoReturn:
    code, status = str(error.response.get("Error", {}).get("Code", "")), _status(error)
    if status == 404 or code in {"NoSuchKey", "NoSuchBucket", "NoSuchVersion"}:
        raise ObjectMissing(code) from error
    if status == 403 or code in _FORBIDDEN:
        raise ObjectForbidden(code) from error
    if status >= 500 or status == 429 or code in {"SlowDown", "RequestTimeout"}:
        raise StorageUnavailable(code) from error
    raise StorageRefused(f"{code}: {error.response.get('Error', {}).get('Message', '')}") from error


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500))
