"""The server below the AWS protocol: clients that stall, ask for another protocol, or speak none."""

from __future__ import annotations

import hashlib
import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from local_aws.rekognition.launch import Rekognition
from local_aws.seaweedfs import Credentials
from support.pictures import encode, noise
from support.rekognition_server import post, quick

REQUEST_ID = re.compile(rb"x-amzn-requestid: [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\r\n", re.IGNORECASE)
LARGE = 200_000


@contextmanager
def connection(server: Rekognition) -> Iterator[socket.socket]:
    address = urlsplit(server.endpoint_url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as plain:
        yield plain


def head(
    server: Rekognition, body: bytes, credentials: Credentials | None, *, extra: dict[str, str] | None = None
) -> bytes:
    """The head of a call of ListMediaAnalysisJobs with ``body``."""
    host = urlsplit(server.endpoint_url).netloc
    headers = {
        "Host": host,
        "X-Amz-Target": "RekognitionService.ListMediaAnalysisJobs",
        "Content-Type": "application/x-amz-json-1.1",
    }
    request = AWSRequest("POST", f"http://{host}/", headers=headers, data=body)
    if credentials:
        key = BotoCredentials(credentials.access_key, credentials.secret_key)
        SigV4Auth(key, "rekognition", "us-east-1").add_auth(request)
    lines = [f"{name}: {value}" for name, value in request.headers.items()]
    lines += [f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in (extra or {}).items())]
    return ("POST / HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n").encode()


def answer(plain: socket.socket) -> tuple[int, bytes, dict[str, Any]]:
    """Status, head and JSON of the next answer."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += (more := plain.recv(65536))
        assert more, received
    top, _, body = received.partition(b"\r\n\r\n")
    length = int(re.search(rb"content-length: (\d+)", top, re.IGNORECASE)[1])  # type: ignore[index]
    while len(body) < length:
        body += (more := plain.recv(65536))
        assert more
    return int(top.split(b" ", 2)[1]), top + b"\r\n", json.loads(body)


@pytest.mark.parametrize("who", ["nobody", "a stranger", "a friend"])
def test_uploads_that_stall_hold_up_nobody(
    rekognition_server: Rekognition, rekognition: Any, credentials: Credentials, who: str
) -> None:
    key = {"nobody": None, "a stranger": Credentials("AKIASTRANGER", "x"), "a friend": credentials}[who]
    body = b"{}" + b" " * LARGE
    with ExitStack() as stack:
        for sent in (0, 1, LARGE // 2) * 8:
            stalled = stack.enter_context(connection(rekognition_server))
            stalled.sendall(head(rekognition_server, body, key) + body[:sent])
        assert post(rekognition_server, body, credentials=credentials)[0] == 200
        assert rekognition.detect_moderation_labels(Image={"Bytes": encode(noise(300, 300), "PNG")})


@pytest.mark.parametrize(
    ("key", "declared", "code"),
    [
        (None, {}, "MissingAuthenticationTokenException"),
        (Credentials("AKIASTRANGER", "x"), {}, "UnrecognizedClientException"),
    ],
)
def test_who_may_not_call_is_told_so_before_the_body_is_sent(
    rekognition_server: Rekognition, key: Credentials | None, declared: dict[str, str], code: str
) -> None:
    with connection(rekognition_server) as plain:
        plain.sendall(head(rekognition_server, b" " * LARGE, key, extra=declared))
        status, top, error = answer(plain)
    assert (status, error["__type"]) == (400, code)
    assert REQUEST_ID.search(top)


def test_a_body_larger_than_allowed_is_refused_before_it_is_sent(
    rekognition_server: Rekognition, credentials: Credentials
) -> None:
    with connection(rekognition_server) as plain:
        text = head(rekognition_server, b"", credentials).replace(
            b"Content-Length: 0", b"Content-Length: 99999999"
        )
        plain.sendall(text)
        status, top, error = answer(plain)
    assert (status, error["__type"]) == (413, "RequestEntityTooLargeException")
    assert REQUEST_ID.search(top)


def test_a_refused_upload_that_goes_on_still_gets_its_answer(rekognition_server: Rekognition) -> None:
    """A server that closed at once would reset the connection, and the client would never see why."""
    body = b"{}" + b" " * 4_000_000
    with connection(rekognition_server) as plain:
        plain.sendall(head(rekognition_server, body, None, extra={"Connection": "close"}))
        plain.sendall(body)
        assert answer(plain)[2]["__type"] == "MissingAuthenticationTokenException"


def test_a_body_that_does_not_come_is_waited_for_so_long_and_no_longer(
    start_rekognition: Any, credentials: Credentials
) -> None:
    server = start_rekognition(settings=quick(body_idle_seconds=0.2, head_seconds=0.2))
    with connection(server) as plain:
        plain.sendall(head(server, b"{}", credentials) + b"{")
        status, top, error = answer(plain)
    assert (status, error["__type"]) == (408, "RequestTimeoutException")
    assert REQUEST_ID.search(top)
    with connection(server) as plain:
        plain.sendall(b"POST / HTTP/1.1\r\nHost:")
        status, top, error = answer(plain)
        assert plain.recv(1) == b""
    assert (status, error["__type"]) == (408, "RequestTimeoutException")
    assert REQUEST_ID.search(top)
    with connection(server) as plain:  # nothing was asked, so nothing is answered
        assert plain.recv(1) == b""
    assert post(server, b"{}", credentials=credentials)[0] == 200


@pytest.mark.parametrize("offer", ["h2c", "websocket", "TLS/1.0", "nonsense"])
@pytest.mark.parametrize("pause", [False, True])
def test_a_client_that_offers_another_protocol_is_served_in_this_one(
    rekognition_server: Rekognition, credentials: Credentials, offer: str, pause: bool
) -> None:
    """Java's HttpClient offers h2c with its first request, and sends the body all the same."""
    body = b'{"MaxResults": 1}'
    upgrade = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": offer, "HTTP2-Settings": "AAMAAABkAAQA"}
    text = head(rekognition_server, body, credentials, extra=upgrade)
    with connection(rekognition_server) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(2):  # the connection goes on
            if pause:
                plain.sendall(text)
                plain.sendall(body)
            else:
                plain.sendall(text + body)
            status, _, found = answer(plain)
            assert (status, next(iter(found))) == (200, "MediaAnalysisJobs")


@pytest.mark.parametrize(
    "text",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"POST / HTTP/1.1\r\nNo colon\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000,
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
        b"POST /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=range(8),
)
def test_what_is_no_http_is_answered_with_a_request_id(rekognition_server: Rekognition, text: bytes) -> None:
    with connection(rekognition_server) as plain:
        plain.sendall(text)
        status, top, error = answer(plain)
    assert status == 400
    assert REQUEST_ID.search(top)
    assert error["__type"]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "OPTIONS", "DELETE"])
@pytest.mark.parametrize("path", ["/", "/nonsense", "/%ff%00", "//_local/jobs"])
def test_any_path_and_method_is_answered_with_a_request_id(
    rekognition_server: Rekognition, method: str, path: str
) -> None:
    with connection(rekognition_server) as plain:
        plain.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        received = b""
        while more := plain.recv(65536):
            received += more
    assert received.startswith(b"HTTP/1.1 400 ")
    assert REQUEST_ID.search(received)


def test_a_signature_over_a_declared_digest_is_checked_before_the_body(
    rekognition_server: Rekognition, credentials: Credentials
) -> None:
    """The SDK for JavaScript declares the digest of its body; a wrong signature shows without the body."""
    body = b"{}" + b" " * LARGE
    host = urlsplit(rekognition_server.endpoint_url).netloc
    headers = {
        "Host": host,
        "X-Amz-Target": "RekognitionService.ListMediaAnalysisJobs",
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Content-SHA256": hashlib.sha256(body).hexdigest(),
    }
    request = AWSRequest("POST", f"http://{host}/", headers=headers, data=body)
    SigV4Auth(BotoCredentials(credentials.access_key, "wrong"), "rekognition", "us-east-1").add_auth(request)
    lines = [f"{name}: {value}" for name, value in request.headers.items()]
    text = "POST / HTTP/1.1\r\n" + "\r\n".join([*lines, f"Content-Length: {len(body)}"]) + "\r\n\r\n"
    with connection(rekognition_server) as plain:
        plain.sendall(text.encode())
        assert answer(plain)[2]["__type"] == "InvalidSignatureException"


def test_a_body_in_chunks_is_served_and_bounded(start_rekognition: Any, credentials: Credentials) -> None:
    server = start_rekognition(settings=quick(limits={"body_bytes": 1000}))
    for length, expected in ((1000, 200), (1001, 413)):
        body = b"{}" + b" " * (length - 2)
        text = head(server, body, credentials).replace(
            f"Content-Length: {length}".encode(), b"Transfer-Encoding: chunked"
        )
        with connection(server) as plain:
            plain.sendall(text + f"{length:x}\r\n".encode() + body + b"\r\n0\r\n\r\n")
            assert answer(plain)[0] == expected
