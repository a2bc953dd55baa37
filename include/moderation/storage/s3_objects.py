"""The little of S3 that the pipeline needs, with one exception that says what went wrong and what to do."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import IO, Any, NamedTuple

import boto3
import botocore.exceptions as boto_errors
import botocore.loaders
import botocore.session
from botocore.config import Config

from moderation.errors import ModerationError, NeedsAPersonError, TransientError
from moderation.settings import Settings
from moderation.storage import roles
from moderation.variables.machine import MachineSettings

_CHUNK = 1024 * 1024
_CUT_OFF = (boto_errors.HTTPClientError, boto_errors.ConnectionError, boto_errors.IncompleteReadError)

_REMEDIES = {
    "NoSuchBucket": "create the bucket or correct its name",
    "NoSuchKey": "check the key; the object may have been deleted",
    "404": "check bucket and key; the object may have been deleted",
    "AccessDenied": "grant the caller s3:ListBucket on the bucket and s3:GetObject, s3:PutObject on its keys",
    "403": "grant the caller s3:ListBucket on the bucket and s3:GetObject, s3:PutObject on its keys",
    "InvalidAccessKeyId": "check AWS_ACCESS_KEY_ID or the Airflow connection",
    "SignatureDoesNotMatch": "check AWS_SECRET_ACCESS_KEY or the Airflow connection",
    "ExpiredToken": "log in again: the session's credentials are over",
    "PermanentRedirect": "set AWS_REGION to the bucket's region",
    "AuthorizationHeaderMalformed": "set AWS_REGION to the bucket's region",
    "IllegalLocationConstraintException": "set AWS_REGION to the bucket's region",
    "Unreachable": "check AWS_ENDPOINT_URL_S3 and that the server runs",
    "NoObject": "see what answers in S3's place, a proxy or a page to log in",
    "Client": "check the variables AWS_… and AWS's own configuration files",
    "NoCredentials": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a role",
    "InvalidName": "correct the name of bucket or key",
    "KeyTooLongError": "shorten the key: at most 1,024 bytes of UTF-8",
    "SlowDown": "run again; S3 asks for fewer calls a second",
}


class S3Error(ModerationError):
    """A call to S3 failed for good; the text names bucket, key, cause and remedy. A group.

    :ivar code: S3's error code such as ``NoSuchBucket``, or ``Unreachable``, ``NoCredentials``, ``Client``.
    :ivar bucket: the bucket asked for.
    :ivar key: the key or prefix asked for, "" when the call had none.
    """

    def __init__(self, code: str, *, bucket: str, key: str, action: str, cause: str) -> None:
        self.code, self.bucket, self.key, self.action, self.cause = code, bucket, key, action, cause
        remedy = _REMEDIES.get(code, "see the cause; run again when it has passed")
        place = f"s3://{bucket}/{key}" if key else f"bucket {bucket}" if bucket else "S3"
        what = place.encode("unicode_escape").decode("ascii")
        super().__init__(f"cannot {action} {what}: {cause} ({code}); {remedy}")

    def __reduce__(self) -> tuple[Any, ...]:
        told = {name: getattr(self, name) for name in ("code", "bucket", "key", "action", "cause")}
        return _rebuild, (type(self), told)

    @property
    def is_missing(self) -> bool:
        """True when the bucket is there and the object is not."""
        return self.code in {"NoSuchKey", "404"}


class S3Refused(S3Error, NeedsAPersonError):
    """S3 would answer the same again: rights, names, credentials, or an object that is not there."""


class S3Unavailable(S3Error, TransientError):
    """S3 cannot be reached, or has trouble of its own, and botocore's retries did not outlast that."""


class UriError(NeedsAPersonError, ValueError):
    """A text is no S3 URI."""


_UNAVAILABLE = frozenset({
    "Unreachable", "Damaged", "SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout",
    "OperationAborted", "ConditionalRequestConflict", "Throttling", "ThrottlingException",
})  # fmt: skip


def s3_error(
    code: str, *, bucket: str = "", key: str = "", action: str, cause: str, status: int = 0
) -> S3Error:
    """The error of S3's code, of the kind that the code tells.

    :param status: of the HTTP answer, if there was one; S3 says the numbers of the 500s of itself.
    """
    number = int(code) if code.isdecimal() else status
    is_trouble = code in _UNAVAILABLE or number == 429 or number >= 500
    found = S3Unavailable if is_trouble else S3Refused
    return found(code, bucket=bucket, key=key, action=action, cause=cause)


def _rebuild(found: type[S3Error], told: dict[str, str]) -> S3Error:
    return found(**told)


class Location(NamedTuple):
    """A bucket and a key; nothing in the key is escaped."""

    bucket: str
    key: str

    @property
    def uri(self) -> str:
        """``s3://bucket/key``."""
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True)
class StoredObject:
    """An object that was read whole.

    :param body: its bytes.
    :param etag: without quotes.
    :param age_seconds: how long ago it was written, by the server's own clock.
    """

    body: bytes
    etag: str
    age_seconds: float


def split_uri(uri: str) -> Location:
    """``s3://bucket/any key`` as bucket and key. The key may hold anything, ``#`` and ``?`` included.

    :raises UriError: no S3 URI, or one without bucket.
    """
    if not uri.startswith("s3://"):
        raise UriError(f"{uri!r} is not an S3 URI; expected s3://bucket/key")
    bucket, _, key = uri[len("s3://") :].partition("/")
    if not bucket:
        raise UriError(f"{uri!r} names no bucket; expected s3://bucket/key")
    return Location(bucket, key)


def join_uri(base: str, *parts: str) -> str:
    """``base`` and the parts with one slash between each."""
    uri = base
    for part in parts:
        uri = f"{uri.rstrip('/')}/{part}"
    return uri


def session() -> boto3.Session:
    """A boto3 session of its own: the default one may not make clients in two threads at once.

    AWS's service descriptions, 0.1 s to read, are shared by all sessions of the process.
    """
    core = botocore.session.get_session()
    core.register_component("data_loader", _descriptions(core.get_config_variable("data_path")))
    return boto3.Session(botocore_session=core)


@functools.cache
def _descriptions(data_path: str | None) -> botocore.loaders.Loader:
    return botocore.loaders.create_loader(data_path)


def client(settings: Settings, *, connections: int = 10, patience: Config | None = None) -> Any:
    """A boto3 S3 client for the settings' region; close it after use.

    ``AWS_ENDPOINT_URL_S3`` and the rest of AWS's own variables are honoured by boto3 itself, also
    ``AWS_MAX_ATTEMPTS`` and ``AWS_RETRY_MODE``; without them a call is tried five times. Behind an endpoint
    of one's own buckets are addressed by path, because ``bucket.localhost`` seldom resolves.

    :param connections: requests that may be under way at once.
    :param patience: how long to wait and how often to try, where somebody sits and waits.
    :raises S3Refused: the environment or AWS's own configuration cannot be used.
    """
    machine = MachineSettings.from_env()
    with named_errors("reach"):
        try:
            own = session()
            made = own.client(
                "s3",
                region_name=settings.region,
                config=Config(
                    retries=machine.aws_retries(),
                    connect_timeout=10,
                    read_timeout=60,
                    max_pool_connections=connections,
                    s3={"addressing_style": "path" if machine.s3_endpoint else "auto"},
                ).merge(patience or Config()),
            )
            roles.sign_by_bucket(made, roles.by_place(settings.region, own))
            return made
        except ValueError as error:  # botocore has no class of its own for a wrong endpoint or number
            raise S3Refused("Client", bucket="", key="", action="reach", cause=str(error)) from error


@contextmanager
def open_client(settings: Settings, *, connections: int = 10) -> Iterator[Any]:
    """:func:`client` that is closed at the end of the block."""
    opened = client(settings, connections=connections)
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def named_errors(action: str, bucket: str = "", key: str = "") -> Iterator[None]:
    """Turn what boto3 raises inside the block into :class:`S3Error`.

    :param action: what was tried, to complete "cannot …", for example ``"list"``.
    :param bucket: "" for S3 as a whole.
    """
    try:
        yield
    except boto_errors.ClientError as error:
        answer = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        raise s3_error(
            str(answer.get("Code") or status or "Unknown"),
            bucket=bucket,
            key=key,
            action=action,
            cause=str(answer.get("Message") or (f"HTTP {status}" if status else error)),
            status=status,
        ) from error
    except (boto_errors.NoCredentialsError, boto_errors.PartialCredentialsError) as error:
        raise S3Refused("NoCredentials", bucket=bucket, key=key, action=action, cause=str(error)) from error
    except _CUT_OFF as error:
        raise S3Unavailable("Unreachable", bucket=bucket, key=key, action=action, cause=str(error)) from error
    except boto_errors.ParamValidationError as error:
        raise S3Refused("InvalidName", bucket=bucket, key=key, action=action, cause=str(error)) from error
    except (boto_errors.ChecksumError, boto_errors.FlexibleChecksumError) as error:
        raise S3Unavailable("Damaged", bucket=bucket, key=key, action=action, cause=str(error)) from error
    except boto_errors.BotoCoreError as error:
        raise S3Refused("Client", bucket=bucket, key=key, action=action, cause=str(error)) from error
    except (KeyError, ValueError) as error:  # of a header: boto3 takes what has answered for S3
        if isinstance(error, ModerationError):
            raise
        what = f"it has no {error.args[0]}" if isinstance(error, KeyError) else error
        told = f"the answer is no object's: {what}"
        raise S3Refused("NoObject", bucket=bucket, key=key, action=action, cause=told) from error


def etag_of(answer: dict[str, Any]) -> str:
    """The ETag of a listing entry or an answer, without its quotes."""
    return str(answer.get("ETag", "")).strip('"')


def list_pages(s3: Any, bucket: str, prefix: str, *, delimiter: str = "") -> Iterator[dict[str, Any]]:
    """ListObjectsV2 page by page (at most 1,000 keys each), in whatever order the server has.

    AWS sorts by the key's UTF-8 bytes, SeaweedFS by folder: nothing may depend on the order.

    :raises S3Error: the bucket cannot be listed.
    """
    with named_errors("list", bucket, prefix):
        pages = s3.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=prefix, **({"Delimiter": delimiter} if delimiter else {})
        )
        yield from pages


def list_objects(s3: Any, uri: str) -> Iterator[dict[str, Any]]:
    """Entries (``Key``, ``ETag``, ``Size``, ``LastModified``) of all objects under ``uri`` as a prefix."""
    bucket, prefix = split_uri(uri)
    for page in list_pages(s3, bucket, prefix):
        yield from page.get("Contents", [])


def read(s3: Any, uri: str) -> StoredObject:
    """The whole object.

    :raises S3Error: it cannot be read; ``is_missing`` tells whether it is not there.
    """
    bucket, key = split_uri(uri)
    with named_errors("read", bucket, key):
        answer = s3.get_object(Bucket=bucket, Key=key)
        with closing(answer["Body"]) as body:
            content = body.read()
        age = server_time(answer) - answer["LastModified"]
    return StoredObject(content, etag_of(answer), age.total_seconds())


def find(s3: Any, uri: str) -> StoredObject | None:
    """The whole object, or None when the bucket has none of that key.

    :raises S3Error: it cannot be read.
    """
    try:
        return read(s3, uri)
    except S3Error as error:
        if error.is_missing:
            return None
        raise


def read_text(s3: Any, uri: str) -> str:
    """The whole object as UTF-8 text.

    :raises UnicodeDecodeError: it is not UTF-8.
    """
    return read(s3, uri).body.decode("utf-8")


def iter_lines(s3: Any, uri: str) -> Iterator[bytes]:
    r"""The object's lines, cut at ``\n`` alone, read as a stream; a last line without ``\n`` counts."""
    bucket, key = split_uri(uri)
    with named_errors("read", bucket, key), closing(s3.get_object(Bucket=bucket, Key=key)["Body"]) as body:
        rest = b""
        for chunk in body.iter_chunks(_CHUNK):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
        if rest:
            yield rest


def download(s3: Any, uri: str, target: Any) -> None:
    """Write the object into the binary file ``target``, piece by piece."""
    bucket, key = split_uri(uri)
    with named_errors("read", bucket, key), closing(s3.get_object(Bucket=bucket, Key=key)["Body"]) as body:
        for chunk in body.iter_chunks(_CHUNK):
            target.write(chunk)


def look_up(s3: Any, uri: str) -> dict[str, Any] | None:
    """The object's entry as a listing would show it, or None when there is none to be seen.

    Without the right to list, S3 answers "forbidden" for an object that is not there: that is None as well.

    :raises S3Error: S3 cannot be asked.
    """
    bucket, key = split_uri(uri)
    try:
        with named_errors("look up", bucket, key):
            answer = s3.head_object(Bucket=bucket, Key=key)
    except S3Error as error:
        if error.is_missing or error.code == "403":
            return None
        raise
    return {
        "Key": key,
        "ETag": answer["ETag"],
        "Size": answer["ContentLength"],
        "LastModified": answer["LastModified"],
    }


def exists(s3: Any, uri: str) -> bool:
    """Whether the object is there to be seen; see :func:`look_up`."""
    return look_up(s3, uri) is not None


def put(s3: Any, uri: str, body: bytes | IO[bytes], *, content_type: str = "application/octet-stream") -> str:
    """Write the object, over an older one if there is one; returns its ETag."""
    bucket, key = split_uri(uri)
    with named_errors("write", bucket, key):
        return etag_of(s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType=content_type))


def put_if_absent(s3: Any, uri: str, body: bytes) -> str | None:
    """Write the object unless there is one of that key: its ETag, or None when another was first."""
    return _put_on_condition(s3, uri, body, IfNoneMatch="*")


def put_if_match(s3: Any, uri: str, body: bytes, *, etag: str) -> str | None:
    """Replace the object if it still is the one of that ETag: the new ETag, or None when it is not."""
    return _put_on_condition(s3, uri, body, IfMatch=f'"{etag}"')


def _put_on_condition(s3: Any, uri: str, body: bytes, **condition: str) -> str | None:
    bucket, key = split_uri(uri)
    try:
        with named_errors("write", bucket, key):
            return etag_of(s3.put_object(Bucket=bucket, Key=key, Body=body, **condition))
    except S3Error as error:
        # AWS answers 409 when two conditional writes meet, and 404 to If-Match on what is no longer there.
        if error.is_missing or error.code in {"PreconditionFailed", "412", "ConditionalRequestConflict"}:
            return None
        raise


def delete(s3: Any, uri: str) -> None:
    """Delete the object; one that is not there is no error."""
    bucket, key = split_uri(uri)
    with named_errors("delete", bucket, key):
        s3.delete_object(Bucket=bucket, Key=key)


def server_time(answer: dict[str, Any]) -> datetime:
    """The server's clock at an answer: ages taken from it do not suffer from a wrong clock here."""
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    return parsedate_to_datetime(date) if date else datetime.now(UTC)
