"""Verifying Signature Version 4 with botocore's own signing code."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials

from local_aws.rekognition.errors import ApiError
from local_aws.rekognition.model import SERVICE

_ALGORITHM = "AWS4-HMAC-SHA256"
_TIME_FORMAT = "%Y%m%dT%H%M%SZ"
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d{1,2}")


@dataclass(frozen=True)
class Identity:
    """Who signed a request and for which region."""

    access_key: str
    region: str


@dataclass(frozen=True)
class SignedRequest:
    """The parts of an HTTP request that a signature covers.

    :param headers: by lower-case name; several values of one name joined with a comma.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


class _Verifier(SigV4Auth):
    """Signs exactly the headers a client says it signed, over the body that arrived."""

    def __init__(self, credentials: Credentials, region: str, signed: list[str]) -> None:
        super().__init__(credentials, SERVICE, region)
        self._signed = signed

    def headers_to_sign(self, request: Any) -> HTTPHeaders:
        headers = HTTPHeaders()
        for name in self._signed:
            headers[name] = request.headers.get(name, "")
        return headers


def verify(
    request: SignedRequest, secrets: Mapping[str, str], *, now: datetime, allowed_skew: timedelta
) -> Identity:
    """Check a request's signature.

    :param secrets: secret keys by access key.
    :param now: the server's clock, with time zone.
    :param allowed_skew: how far the client's clock may be off; AWS allows 5 minutes.
    :raises ApiError: MissingAuthenticationTokenException, IncompleteSignatureException,
        UnrecognizedClientException or InvalidSignatureException.
    """
    header = request.headers.get("authorization")
    if not header:
        raise ApiError("MissingAuthenticationTokenException", "Missing Authentication Token")
    fields = _authorization_fields(header)
    access_key, date, region = _scope(fields["Credential"])
    signed = fields["SignedHeaders"].lower().split(";")
    timestamp = _timestamp(request.headers, date, now=now, allowed_skew=allowed_skew)
    secret = secrets.get(access_key)
    if secret is None or "x-amz-security-token" in request.headers:  # only long-lived keys exist here
        raise ApiError(
            "UnrecognizedClientException", "The security token included in the request is invalid."
        )
    _check_coverage(request, signed)
    verifier = _Verifier(Credentials(access_key, secret), region, signed)
    if not hmac.compare_digest(_expected(verifier, request, timestamp), fields["Signature"].encode()):
        raise _mismatch()
    return Identity(access_key, region)


def _authorization_fields(header: str) -> dict[str, str]:
    algorithm, _, rest = header.partition(" ")
    fields = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    missing = [name for name in ("Credential", "SignedHeaders", "Signature") if not fields.get(name)]
    if algorithm != _ALGORITHM or missing:
        # The header itself is not repeated: it may hold a key that was sent in the wrong place.
        text = " ".join(f"Authorization header requires '{name}' parameter." for name in missing)
        raise ApiError("IncompleteSignatureException", text or f"Authorization must use {_ALGORITHM}.")
    return fields


def _scope(credential: str) -> tuple[str, str, str]:
    parts = credential.rsplit("/", 4)
    if len(parts) != 5:
        raise ApiError(
            "IncompleteSignatureException", "Credential must have exactly 5 slash-delimited elements."
        )
    access_key, date, region, service, terminator = parts
    if service != SERVICE:
        raise ApiError(
            "InvalidSignatureException", f"Credential should be scoped to correct service: '{SERVICE}'."
        )
    if terminator != "aws4_request":
        raise ApiError(
            "InvalidSignatureException",
            "Credential should be scoped with a valid terminator: 'aws4_request'.",
        )
    if not _REGION.fullmatch(region):
        raise ApiError("InvalidSignatureException", "Credential should be scoped to a valid region.")
    return access_key, date, region


def _timestamp(headers: Mapping[str, str], date: str, *, now: datetime, allowed_skew: timedelta) -> str:
    text = headers.get("x-amz-date", "")
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
    minutes = f"{allowed_skew.total_seconds() / 60:g} min."
    clock = now.strftime(_TIME_FORMAT)
    if signed_at < now - allowed_skew:
        oldest = (now - allowed_skew).strftime(_TIME_FORMAT)
        text = f"Signature expired: {text} is now earlier than {oldest} ({clock} - {minutes})"
        raise ApiError("InvalidSignatureException", text)
    if signed_at > now + allowed_skew:
        newest = (now + allowed_skew).strftime(_TIME_FORMAT)
        text = f"Signature not yet current: {text} is still later than {newest} ({clock} + {minutes})"
        raise ApiError("InvalidSignatureException", text)
    return text


def _check_coverage(request: SignedRequest, signed: list[str]) -> None:
    """Refuse a request whose meaning could be changed without breaking its signature."""
    must = {"host"} | {name for name in request.headers if name.startswith("x-amz-")}
    if not must <= set(signed) or any(name not in request.headers for name in signed):
        raise _mismatch()
    claimed = request.headers.get("x-amz-content-sha256")
    if claimed is not None and claimed != hashlib.sha256(request.body).hexdigest():
        raise _mismatch()


def _expected(verifier: _Verifier, request: SignedRequest, timestamp: str) -> bytes:
    query = f"?{request.query}" if request.query else ""
    url = f"http://{request.headers['host']}{request.path}{query}"
    aws_request = AWSRequest(method=request.method, url=url, headers=dict(request.headers), data=request.body)
    aws_request.context["timestamp"] = timestamp
    canonical = verifier.canonical_request(aws_request)
    signature: str = verifier.signature(verifier.string_to_sign(aws_request, canonical), aws_request)
    return signature.encode()


def _mismatch() -> ApiError:
    return ApiError(
        "InvalidSignatureException",
        "The request signature we calculated does not match the signature you provided. Check your AWS "
        "Secret Access Key and signing method. Consult the service documentation for details.",
    )
