"""Reading and writing S3 with the credentials of the caller."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from local_aws.rekognition.images.parcels import Parcel
from local_aws.rekognition.images.regions import BucketRegions

_FORBIDDEN = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AllAccessDisabled"}
_CONNECTIONS = 32
_BLOCK = 1024 * 1024


class ObjectMissing(Exception):
    """The bucket, the object or the version does not exist in the caller's region."""


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


class Grants(Protocol):
    """Knows what S3 is used with on behalf of a key."""

    def rights_of(self, access_key: str) -> Hashable | None:
        """What is the same for keys that may do the same; None for a key that is not known any more."""

    def credentials(self, access_key: str) -> Credentials:
        """Return credentials with these rights, which renew themselves if they end."""


class ObjectStore:
    """S3 as a set of callers sees it.

    A version that is named must exist: an S3 that keeps no versions of a bucket, and hands out the object all
    the same, is not believed. A bucket of another region than the caller's counts as missing (developer
    guide: "the bucket must be in the region of the endpoint").

    :param endpoint_url: S3's address; the server talks to no other.
    :param grants: what callers may do.
    :param waiting_room: folder for what :meth:`read` returns.
    """

    def __init__(self, endpoint_url: str, grants: Grants, regions: BucketRegions, waiting_room: Path) -> None:
        self._endpoint_url = endpoint_url
        self._grants = grants
        self._regions = regions
        self._waiting_room = waiting_room
        self._clients: dict[tuple[Hashable, str], Any] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            client.close()

    def read(self, caller: Caller, source: Source, *, limit: int) -> Parcel:
        """Return a whole object; the caller closes it.

        :param limit: greatest size in bytes.
        :raises ObjectTooLarge: it is larger.
        :raises ObjectMissing: it does not exist in the caller's region.
        :raises ObjectForbidden: the caller may not read it.
        :raises StorageUnavailable: S3 is away.
        """
        with _translated():
            answer = self._get(caller, source)
            size = int(answer["ContentLength"])
            with closing(answer["Body"]) as body:
                if size > limit:
                    raise ObjectTooLarge(size)
                parcel = Parcel(self._waiting_room)
                try:
                    for block in body.iter_chunks(_BLOCK):
                        parcel.write(block)
                    if parcel.size != size:
                        raise StorageUnavailable(f"{parcel.size} of {size} bytes arrived")
                except BaseException:
                    parcel.close()
                    raise
        return parcel

    def size(self, caller: Caller, source: Source) -> int:
        """Return an object's size in bytes; errors as :meth:`read`."""
        with _translated():
            client = self._client_for(caller, source.bucket)
            answer = client.head_object(Bucket=source.bucket, Key=source.key, **source.extra)
            source.check(answer)
            return int(answer["ContentLength"])

    def download(self, caller: Caller, source: Source, target: Path) -> None:
        """Copy an object into a file, which appears only when it is whole; errors as :meth:`read`."""
        part = target.with_name(target.name + ".part")
        with _translated(), closing(self._get(caller, source)["Body"]) as body, part.open("wb") as out:
            for block in body.iter_chunks(_BLOCK):
                out.write(block)
        part.replace(target)

    def check_bucket(self, caller: Caller, bucket: str) -> None:
        """Check that a bucket exists; a caller who may not look at the bucket itself passes.

        :raises ObjectMissing: it does not, or it is in another region than the caller's.
        """
        with _translated():
            client = self._client_for(caller, bucket)
            try:
                client.head_bucket(Bucket=bucket)
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
            self._client_for(caller, bucket).put_object(
                Bucket=bucket, Key=key, Body=body, ContentType="application/json", **extra
            )

    def _get(self, caller: Caller, source: Source) -> Any:
        client = self._client_for(caller, source.bucket)
        answer = client.get_object(Bucket=source.bucket, Key=source.key, **source.extra)
        try:
            source.check(answer)
        except ObjectMissing:
            answer["Body"].close()
            raise
        return answer

    def _client_for(self, caller: Caller, bucket: str) -> Any:
        client = self._client(caller)
        if self._regions.is_elsewhere(client, bucket, region=caller.region):
            raise ObjectMissing(f"the bucket {bucket} is not in {caller.region}")
        return client

    def _client(self, caller: Caller) -> Any:
        rights = self._grants.rights_of(caller.access_key)
        if rights is None:
            raise ObjectForbidden("the key that signed the request is no longer known")
        place = (rights, caller.region)
        with self._lock:
            if place not in self._clients:
                core = botocore.session.get_session()
                core._credentials = self._grants.credentials(caller.access_key)
                self._clients[place] = boto3.session.Session(botocore_session=core).client(
                    "s3",
                    endpoint_url=self._endpoint_url,
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


@dataclass(frozen=True)
class Source:
    """An object, or one version of it."""

    bucket: str
    key: str
    version: str | None = None

    @classmethod
    def of(cls, member: Mapping[str, str]) -> Source:
        """Read an ``S3Object`` of the API that has Bucket and Name."""
        return cls(member["Bucket"], member["Name"], member.get("Version"))

    @property
    def uri(self) -> str:
        """Its ``s3://`` address, without the version."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def extra(self) -> dict[str, str]:
        """What a request for it carries beside bucket and key."""
        return {"VersionId": self.version} if self.version else {}

    def check(self, answer: Mapping[str, Any]) -> None:
        """Check that S3 answered with the version that was named.

        A bucket without versions has only the one called ``null`` (S3 user guide, "Versioning").

        :raises ObjectMissing: it answered with another, or keeps none.
        """
        if self.version and answer.get("VersionId", "null") != self.version:
            raise ObjectMissing(f"there is no version {self.version}")


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
    except (KeyError, ValueError) as error:  # of a header: something else has answered in S3's place
        raise StorageRefused(f"the answer is no object's: {error}") from error


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
