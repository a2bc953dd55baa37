from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from local_aws.rekognition.wire.auth import Key, RequestHead, read_claim, user_arn
from local_aws.rekognition.wire.errors import ApiError

SECRETS = {"AKIDEXAMPLE": "a-secret-of-no-value"}
SESSION = ("ASIAEXAMPLE", "a-secret-of-no-value", "a-token")
BODY = b'{"MaxResults": 1}'


@dataclass(frozen=True)
class Signed:
    """A request as it arrives: its head and its body."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def head(self) -> RequestHead:
        return RequestHead(self.method, self.path, self.query, self.headers)


class KnownKeys:
    """One lasting key, and one of a session."""

    def find(self, access_key: str, token: str | None) -> Key:
        if token is None and access_key in SECRETS:
            return Key(SECRETS[access_key])
        if (access_key, token) == SESSION[::2]:
            return Key(SESSION[1], "reader/one")
        raise ApiError("UnrecognizedClientException", "unknown")


def signed(
    *,
    key: str = "AKIDEXAMPLE",
    secret: str = "a-secret-of-no-value",
    service: str = "rekognition",
    region: str = "eu-west-1",
    extra: dict[str, str] | None = None,
) -> Signed:
    headers = {"Host": "127.0.0.1:9", "X-Amz-Target": "RekognitionService.X", **(extra or {})}
    request = AWSRequest("POST", "http://127.0.0.1:9/", headers=headers, data=BODY)
    SigV4Auth(Credentials(key, secret), service, region).add_auth(request)
    lower = {name.lower(): value for name, value in request.headers.items()}
    return Signed("POST", "/", "", lower, BODY)


def check(request: Signed, *, now: datetime | None = None) -> Any:
    clock = now or datetime.now(UTC)
    claim = read_claim(request.head, KnownKeys(), now=clock, allowed_skew=timedelta(minutes=5))
    return claim.prove(body_sha256=hashlib.sha256(request.body).hexdigest())


def refused(request: Signed, code: str, **options: Any) -> str:
    with pytest.raises(ApiError) as caught:
        check(request, **options)
    assert caught.value.code == code
    assert "a-secret-of-no-value" not in caught.value.message
    return caught.value.message


def with_headers(request: Signed, **changes: str | None) -> Signed:
    headers = {**request.headers, **{name.replace("_", "-"): value for name, value in changes.items()}}
    return replace(request, headers={name: value for name, value in headers.items() if value is not None})


def test_a_request_signed_by_botocore_is_accepted_and_says_who_and_where() -> None:
    identity = check(signed(region="ap-southeast-2"))
    assert (identity.access_key, identity.region) == ("AKIDEXAMPLE", "ap-southeast-2")


def test_a_client_may_sign_headers_that_botocore_leaves_out() -> None:
    """Other SDKs sign user-agent; botocore's own rule would drop it and call the signature wrong."""

    class SignsAll(SigV4Auth):
        def headers_to_sign(self, request: Any) -> Any:
            headers = super().headers_to_sign(request)
            headers["user-agent"] = request.headers["User-Agent"]
            return headers

    headers = {"Host": "h", "User-Agent": "aws-sdk-java/1.0"}
    request = AWSRequest("POST", "http://h/", headers=headers, data=BODY)
    SignsAll(Credentials("AKIDEXAMPLE", "a-secret-of-no-value"), "rekognition", "eu-west-1").add_auth(request)
    lower = {name.lower(): value for name, value in request.headers.items()}
    assert check(Signed("POST", "/", "", lower, BODY)).region == "eu-west-1"


def test_no_authorization_is_a_missing_token() -> None:
    refused(with_headers(signed(), authorization=None), "MissingAuthenticationTokenException")


def test_an_unknown_key_is_an_unrecognized_client() -> None:
    refused(signed(key="AKIDUNKNOWN"), "UnrecognizedClientException")


def test_a_session_token_of_another_key_is_an_unrecognized_client() -> None:
    refused(signed(extra={"X-Amz-Security-Token": "session"}), "UnrecognizedClientException")


def test_a_session_signs_with_its_token_and_is_named_by_its_role() -> None:
    identity = check(signed(key=SESSION[0], extra={"X-Amz-Security-Token": SESSION[2]}))
    assert user_arn(identity, account_id="1") == "arn:aws:sts::1:assumed-role/reader/one"
    refused(signed(key=SESSION[0]), "UnrecognizedClientException")


def test_a_wrong_secret_is_an_invalid_signature() -> None:
    text = refused(signed(secret="another"), "InvalidSignatureException")
    assert text.startswith("The request signature we calculated does not match the signature you provided.")


@pytest.mark.parametrize(
    "change",
    [
        {"body": b'{"MaxResults": 2}'},
        {"method": "PUT"},
        {"path": "/other"},
        {"query": "a=b"},
    ],
)
def test_anything_changed_after_signing_is_an_invalid_signature(change: dict[str, Any]) -> None:
    refused(replace(signed(), **change), "InvalidSignatureException")


@pytest.mark.parametrize(
    "change",
    [
        {"x_amz_target": "RekognitionService.DeleteProject"},
        {"host": "elsewhere"},
        {"x_amz_extra": "not signed"},
        {"x_amz_content_sha256": "UNSIGNED-PAYLOAD"},
    ],
)
def test_a_header_changed_or_smuggled_in_is_an_invalid_signature(change: dict[str, str]) -> None:
    refused(with_headers(signed(), **change), "InvalidSignatureException")


@pytest.mark.parametrize("missing", ["host", "x-amz-target"])
def test_headers_that_matter_must_be_signed(missing: str) -> None:
    request = signed()
    text = request.headers["authorization"]
    names = text.split("SignedHeaders=")[1].split(",")[0]
    fewer = ";".join(name for name in names.split(";") if name != missing)
    refused(with_headers(request, authorization=text.replace(names, fewer)), "InvalidSignatureException")


@pytest.mark.parametrize(
    "header",
    [
        "Bearer abc",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=a/b/c/d/e",
        "AWS4-HMAC-SHA256 Credential=,SignedHeaders=host,Signature=0",
        "AWS4-HMAC-SHA256 Credential=AKID/x, SignedHeaders=host, Signature=0",
        "garbage,=,=,",
    ],
)
def test_a_malformed_authorization_is_an_incomplete_signature(header: str) -> None:
    refused(with_headers(signed(), authorization=header), "IncompleteSignatureException")


def test_another_services_signature_is_refused() -> None:
    text = refused(signed(service="s3"), "InvalidSignatureException")
    assert text == "Credential should be scoped to correct service: 'rekognition'."


def test_a_scope_that_is_no_region_is_refused() -> None:
    refused(signed(region="nowhere"), "InvalidSignatureException")


@pytest.mark.parametrize(
    ("minutes", "text"),
    [(6, "Signature expired: "), (-6, "Signature not yet current: ")],
)
def test_a_clock_that_is_off_is_refused(minutes: int, text: str) -> None:
    now = datetime.now(UTC) + timedelta(minutes=minutes)
    assert refused(signed(), "InvalidSignatureException", now=now).startswith(text)


@pytest.mark.parametrize("minutes", [-4, 4])
def test_a_clock_that_is_a_little_off_is_accepted(minutes: int) -> None:
    check(signed(), now=datetime.now(UTC) + timedelta(minutes=minutes))


@pytest.mark.parametrize("date", [None, "", "yesterday", "20240101"])
def test_a_missing_or_malformed_date_is_an_incomplete_signature(date: str | None) -> None:
    refused(with_headers(signed(), x_amz_date=date), "IncompleteSignatureException")


def test_a_scope_of_another_day_is_refused() -> None:
    request = signed()
    day = request.headers["x-amz-date"][:8]
    other = request.headers["authorization"].replace(f"/{day}/", "/20200101/")
    text = refused(with_headers(request, authorization=other), "InvalidSignatureException")
    assert "does not match" in text


@pytest.mark.parametrize("signature", ["0" * 64, "", "é", "0"])
def test_a_made_up_signature_is_refused(signature: str) -> None:
    request = signed()
    head = request.headers["authorization"].rsplit("Signature=", 1)[0]
    with pytest.raises(ApiError, match="Signature"):
        check(with_headers(request, authorization=f"{head}Signature={signature}"))


def dated(text: str, *, sign: bool = True) -> Signed:
    """A request whose time stands in ``Date``, as older clients sign."""
    stamp = parsedate_to_datetime(text).astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")

    class SignsDate(SigV4Auth):
        def headers_to_sign(self, request: Any) -> Any:
            headers = super().headers_to_sign(request)
            if not sign:
                del headers["date"]
            return headers

    headers = {"Host": "h", "X-Amz-Target": "RekognitionService.X", "Date": text}
    request = AWSRequest("POST", "http://h/", headers=headers, data=BODY)
    request.context["timestamp"] = stamp
    signer = SignsDate(Credentials("AKIDEXAMPLE", SECRETS["AKIDEXAMPLE"]), "rekognition", "eu-west-1")
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    names = signer.signed_headers(signer.headers_to_sign(request))
    request.headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={signer.scope(request)}, SignedHeaders={names}, Signature={signature}"
    )
    lower = {name.lower(): value for name, value in request.headers.items()}
    return Signed("POST", "/", "", lower, BODY)


def test_the_time_may_stand_in_a_signed_date() -> None:
    now = datetime.now(UTC)
    assert check(dated(format_datetime(now, usegmt=True))).region == "eu-west-1"
    refused(dated(format_datetime(now - timedelta(minutes=6), usegmt=True)), "InvalidSignatureException")
    refused(dated(format_datetime(now, usegmt=True), sign=False), "IncompleteSignatureException")
    moved = with_headers(dated(format_datetime(now, usegmt=True)), date="yesterday")
    refused(moved, "IncompleteSignatureException")


def presigned(*, secret: str = SECRETS["AKIDEXAMPLE"], expires: int = 60) -> Signed:
    """A request whose signature stands in its address, over the digest of its body."""

    class Presigns(SigV4QueryAuth):
        def payload(self, request: Any) -> str:
            return hashlib.sha256(BODY).hexdigest()

    headers = {"Host": "h", "X-Amz-Target": "RekognitionService.X"}
    request = AWSRequest("POST", "http://h/", headers=headers)
    Presigns(Credentials("AKIDEXAMPLE", secret), "rekognition", "eu-west-1", expires=expires).add_auth(
        request
    )
    query = request.url.partition("?")[2]
    return Signed("POST", "/", query, {name.lower(): v for name, v in headers.items()}, BODY)


def test_a_signature_may_stand_in_the_address_for_as_long_as_it_says() -> None:
    request = presigned()
    assert (check(request).access_key, check(request).region) == ("AKIDEXAMPLE", "eu-west-1")
    later = datetime.now(UTC) + timedelta(seconds=61)
    assert refused(request, "InvalidSignatureException", now=later).startswith("Signature expired: ")
    assert check(presigned(expires=3600), now=later)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("X-Amz-Expires=60", "X-Amz-Expires=61", "InvalidSignatureException"),
        ("X-Amz-Expires=60", "X-Amz-Expires=604801", "IncompleteSignatureException"),
        ("X-Amz-Expires=60", "X-Amz-Expires=-1", "IncompleteSignatureException"),
        ("&X-Amz-Expires=60", "", "IncompleteSignatureException"),
        ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1", "IncompleteSignatureException"),
        ("AKIDEXAMPLE", "AKIDUNKNOWN", "UnrecognizedClientException"),
        ("X-Amz-Signature", "X-Amz-Sig", "MissingAuthenticationTokenException"),
        ("X-Amz-Date=", "a=b&X-Amz-Date=", "InvalidSignatureException"),
    ],
)
def test_an_address_changed_after_signing_is_refused(old: str, new: str, code: str) -> None:
    request = presigned()
    assert old in request.query
    refused(replace(request, query=request.query.replace(old, new)), code)


@pytest.mark.parametrize("change", [{"body": b"{}"}, {"method": "PUT"}, {"path": "/other"}])
def test_a_presigned_request_changed_after_signing_is_refused(change: dict[str, Any]) -> None:
    refused(replace(presigned(), **change), "InvalidSignatureException")
    refused(presigned(secret="another"), "InvalidSignatureException")
