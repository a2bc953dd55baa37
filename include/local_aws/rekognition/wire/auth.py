"""Verifying Signature Version 4 with botocore's own signing code, in two steps.

The first needs a request's head only, so that a caller without a good key is refused before a byte of its
body is read; the second needs the digest of the body. Source of the rules: AWS's guide to Signature Version
4.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Protocol
from urllib.parse import parse_qsl

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials

from local_aws.rekognition.wire.errors import ApiError
from local_aws.rekognition.wire.model import SERVICE

_ALGORITHM = "AWS4-HMAC-SHA256"
_TIME_FORMAT = "%Y%m%dT%H%M%SZ"
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d{1,2}")
_LONGEST_PRESIGNED_SECONDS = 7 * 86_400


@dataclass(frozen=True)
class Identity:
    """Who signed a request and for which region.

    :param role_session: ``role/session`` when the key is one of a session.
    """

    access_key: str
    region: str
    role_session: str = ""


@dataclass(frozen=True)
class Key:
    """What is known of an access key."""

    secret: str
    role_session: str = ""


class Keys(Protocol):
    """Knows the keys that may sign."""

    def find(self, access_key: str, token: str | None) -> Key:
        """Return a key.

        :param token: the session token that came with the request.
        :raises ApiError: UnrecognizedClientException: there is none, or it has another token;
            ExpiredTokenException.
        """


def user_arn(identity: Identity, *, account_id: str) -> str:
    """Name who signed, as AWS's error texts do; the access key stands in for a user's name."""
    if identity.role_session:
        return f"arn:aws:sts::{account_id}:assumed-role/{identity.role_session}"
    return f"arn:aws:iam::{account_id}:user/{identity.access_key}"


@dataclass(frozen=True)
class RequestHead:
    """The parts of an HTTP request that stand before its body and that a signature covers.

    :param headers: by lower-case name; several values of one name joined with a comma.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Claim:
    """Who a request's head says has signed it; nothing is proven before :meth:`prove`.

    :param identity: for the log only, until then.
    """

    identity: Identity
    _head: RequestHead
    _stated: _Stated
    _secret: str
    _service: str

    def prove(self, *, body_sha256: str) -> Identity:
        """Check the signature.

        :param body_sha256: hexadecimal digest of the body that arrived.
        :raises ApiError: InvalidSignatureException.
        """
        stated = self._stated
        claimed = self._head.headers.get("x-amz-content-sha256")
        if claimed is not None and claimed != body_sha256:
            raise _mismatch()
        key = Credentials(self.identity.access_key, self._secret)
        verifier = _Verifier(key, self._service, self.identity.region, stated.signed, body_sha256)
        if not hmac.compare_digest(_expected(verifier, self._head, stated), stated.signature.encode()):
            raise _mismatch()
        return self.identity


@dataclass(frozen=True)
class _Stated:
    """What a request says about its signature, in its Authorization header or in its query.

    :param signed: the names of the headers that were signed.
    :param query: the query string that was signed.
    :param lifetime: how long the signature holds; None for the clock's skew alone.
    """

    credential: str
    signed: tuple[str, ...]
    signature: str
    timestamp: str
    query: str
    token: str | None
    lifetime: timedelta | None = None


class _Verifier(SigV4Auth):
    """Signs exactly the headers a client says it signed, over the body that arrived."""

    def __init__(
        self, credentials: Credentials, service: str, region: str, signed: tuple[str, ...], body_sha256: str
    ) -> None:
        super().__init__(credentials, service, region)
        self._signed = signed
        self._body_sha256 = body_sha256

    def headers_to_sign(self, request: Any) -> HTTPHeaders:
        headers = HTTPHeaders()
        for name in self._signed:
            headers[name] = request.headers.get(name, "")
        return headers

    def payload(self, request: Any) -> str:
        return self._body_sha256


def read_claim(
    head: RequestHead, keys: Keys, *, now: datetime, allowed_skew: timedelta, service: str = SERVICE
) -> Claim:
    """Check all that a request's head can tell about its signature.

    Signatures stand in the Authorization header or, presigned, in the query. Their time is that of
    ``X-Amz-Date`` or, where there is none, of a signed ``Date``. A client that sends ``x-amz-content-sha256``
    has its signature checked here already.

    :param keys: those that may sign.
    :param now: the server's clock, with time zone.
    :param allowed_skew: how far the client's clock may be off; AWS allows 5 minutes.
    :param service: for which the request must be signed.
    :raises ApiError: MissingAuthenticationTokenException, IncompleteSignatureException,
        UnrecognizedClientException, ExpiredTokenException or InvalidSignatureException.
    """
    stated = _stated(head)
    access_key, date, region = _scope(stated.credential, service)
    _check_time(stated, date, now=now, allowed_skew=allowed_skew)
    key = keys.find(access_key, stated.token)
    _check_coverage(head, stated.signed)
    claim = Claim(Identity(access_key, region, key.role_session), head, stated, key.secret, service)
    declared = head.headers.get("x-amz-content-sha256")
    if declared is not None:
        claim.prove(body_sha256=declared)
    return claim


def _stated(head: RequestHead) -> _Stated:
    header = head.headers.get("authorization")
    if header:
        fields = _authorization_fields(header)
        return _Stated(
            fields["Credential"],
            tuple(fields["SignedHeaders"].lower().split(";")),
            fields["Signature"],
            _timestamp_of_headers(head.headers, fields["SignedHeaders"].lower().split(";")),
            head.query,
            head.headers.get("x-amz-security-token"),
        )
    given = dict(parse_qsl(head.query, keep_blank_values=True))
    if "X-Amz-Signature" not in given:
        raise ApiError("MissingAuthenticationTokenException", "Missing Authentication Token")
    return _stated_in_query(head.query, given)


def _stated_in_query(query: str, given: Mapping[str, str]) -> _Stated:
    needed = ("Algorithm", "Credential", "SignedHeaders", "Expires", "Date")
    missing = [name for name in needed if not given.get(f"X-Amz-{name}")]
    lifetime = given.get("X-Amz-Expires", "")
    if missing or given["X-Amz-Algorithm"] != _ALGORITHM or not lifetime.isdecimal():
        text = " ".join(f"AWS query-string parameters must include 'X-Amz-{name}'." for name in missing)
        raise ApiError("IncompleteSignatureException", text or f"X-Amz-Algorithm must be {_ALGORITHM}.")
    if int(lifetime) > _LONGEST_PRESIGNED_SECONDS:
        raise ApiError("IncompleteSignatureException", "X-Amz-Expires must be less than a week (in seconds).")
    rest = "&".join(part for part in query.split("&") if not part.startswith("X-Amz-Signature="))
    return _Stated(
        given["X-Amz-Credential"],
        tuple(given["X-Amz-SignedHeaders"].lower().split(";")),
        given["X-Amz-Signature"],
        given["X-Amz-Date"],
        rest,
        given.get("X-Amz-Security-Token"),
        timedelta(seconds=int(lifetime)),
    )


def _authorization_fields(header: str) -> dict[str, str]:
    algorithm, _, rest = header.partition(" ")
    fields = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    missing = [name for name in ("Credential", "SignedHeaders", "Signature") if not fields.get(name)]
    if algorithm != _ALGORITHM or missing:
        # The header itself is not repeated: it may hold a key that was sent in the wrong place.
        text = " ".join(f"Authorization header requires '{name}' parameter." for name in missing)
        raise ApiError("IncompleteSignatureException", text or f"Authorization must use {_ALGORITHM}.")
    return fields


def is_signed_for(head: RequestHead, service: str) -> bool:
    """Whether the Authorization header names this service; of a request that is signed well or not at all."""
    return f"/{service}/aws4_request" in head.headers.get("authorization", "")


def _scope(credential: str, wanted: str) -> tuple[str, str, str]:
    parts = credential.rsplit("/", 4)
    if len(parts) != 5:
        raise ApiError(
            "IncompleteSignatureException", "Credential must have exactly 5 slash-delimited elements."
        )
    access_key, date, region, service, terminator = parts
    if service != wanted:
        raise ApiError(
            "InvalidSignatureException", f"Credential should be scoped to correct service: '{wanted}'."
        )
    if terminator != "aws4_request":
        raise ApiError(
            "InvalidSignatureException",
            "Credential should be scoped with a valid terminator: 'aws4_request'.",
        )
    if not _REGION.fullmatch(region):
        raise ApiError("InvalidSignatureException", "Credential should be scoped to a valid region.")
    return access_key, date, region


def _timestamp_of_headers(headers: Mapping[str, str], signed: list[str]) -> str:
    """The time of a signature in the form that was signed, or text that is none."""
    if "x-amz-date" in headers or "date" not in signed:
        return headers.get("x-amz-date", "")
    text = headers.get("date", "")
    try:
        return parsedate_to_datetime(text).astimezone(UTC).strftime(_TIME_FORMAT)
    except ValueError:
        return text


def _check_time(stated: _Stated, date: str, *, now: datetime, allowed_skew: timedelta) -> None:
    text = stated.timestamp
    try:
        signed_at = datetime.strptime(text, _TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        raise ApiError(
            "IncompleteSignatureException", "X-Amz-Date must be in ISO-8601 'basic format'."
        ) from None
    if text[:8] != date:
        raise ApiError(
            "InvalidSignatureException",
            f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{date}' != '{text[:8]}', from '{text}'.",
        )
    lifetime = allowed_skew if stated.lifetime is None else stated.lifetime
    clock = now.strftime(_TIME_FORMAT)
    if signed_at < now - lifetime:
        oldest = (now - lifetime).strftime(_TIME_FORMAT)
        text = f"Signature expired: {text} is now earlier than {oldest} ({clock} - {_minutes(lifetime)})"
        raise ApiError("InvalidSignatureException", text)
    if signed_at > now + allowed_skew:
        newest = (now + allowed_skew).strftime(_TIME_FORMAT)
        skew = _minutes(allowed_skew)
        text = f"Signature not yet current: {text} is still later than {newest} ({clock} + {skew})"
        raise ApiError("InvalidSignatureException", text)


def _minutes(length: timedelta) -> str:
    return f"{length.total_seconds() / 60:g} min."


def _check_coverage(head: RequestHead, signed: tuple[str, ...]) -> None:
    """Refuse a request whose meaning could be changed without breaking its signature."""
    must = {"host"} | {name for name in head.headers if name.startswith("x-amz-")}
    if not must <= set(signed) or any(name not in head.headers for name in signed):
        raise _mismatch()


def _expected(verifier: _Verifier, head: RequestHead, stated: _Stated) -> bytes:
    query = f"?{stated.query}" if stated.query else ""
    url = f"http://{head.headers['host']}{head.path}{query}"
    aws_request = AWSRequest(method=head.method, url=url, headers=dict(head.headers))
    aws_request.context["timestamp"] = stated.timestamp
    canonical = verifier.canonical_request(aws_request)
    signature: str = verifier.signature(verifier.string_to_sign(aws_request, canonical), aws_request)
    return signature.encode()


def _mismatch() -> ApiError:
    return ApiError(
        "InvalidSignatureException",
        "The request signature we calculated does not match the signature you provided. Check your AWS "
        "Secret Access Key and signing method. Consult the service documentation for details.",
    )
