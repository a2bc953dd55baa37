"""What one call's end says, over HTTP as it comes: about the image, about the moment, or about everything."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import CredentialRetrievalError

from moderation.analyse.detect.calls import Answered, Caller, Counters, Disturbed, Refused
from moderation.analyse.detect.errors import DetectDenied, DetectRequestRefused
from moderation.analyse.detect.pacing import Pacer, ShareControl
from moderation.analyse.detect.run import client_config
from moderation.reference import error_codes

IMAGE: dict[str, object] = {"S3Object": {"Bucket": "bucket", "Name": "a.jpg"}}
Outcome = Answered | Refused | Disturbed
Reply = Callable[[bool], tuple[int, bytes]]


def ask(reply: Reply | None, *, fault: Exception | None = None) -> Outcome:
    """Ask about one image.

    :param reply: gives status and body; told whether the probe asks. None: nobody listens.
    :param fault: what the client raises before it calls.
    """

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert reply is not None
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"
        )
        status, body = reply(b"Bytes" in await reader.readexactly(length))
        writer.write(
            b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, len(body))
        )
        writer.write(body)
        await writer.drain()
        writer.close()

    def fail(**_: object) -> None:
        if fault:
            raise fault

    async def main() -> Outcome:
        async with AsyncExitStack() as stack:
            if reply:
                server = await stack.enter_async_context(await asyncio.start_server(handle, "127.0.0.1", 0))
                port = server.sockets[0].getsockname()[1]
            else:
                port = _free_port()
            client = await stack.enter_async_context(
                get_session().create_client(
                    "rekognition",
                    region_name="us-east-1",
                    endpoint_url=f"http://127.0.0.1:{port}",
                    aws_access_key_id="a",
                    aws_secret_access_key="b",
                    config=AioConfig(**client_config(4)),
                )
            )
            client.meta.events.register("before-call.rekognition", fail)
            pacer, control = Pacer(lambda: 1000.0), ShareControl()
            return await Caller(client, {}, pacer=pacer, control=control, counters=Counters()).ask(IMAGE)

    return asyncio.run(main())


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def refusal(code: str, message: str = "no") -> tuple[int, bytes]:
    return 400, json.dumps({"__type": code, "message": message}).encode()


def test_a_server_that_nobody_can_reach_may_be_back_soon() -> None:
    """A restart, a name that does not resolve for a moment: no reason to give a manifest up."""
    outcome = ask(None)
    assert isinstance(outcome, Disturbed)
    assert outcome.code == "ConnectionFailed"
    assert error_codes.is_owed(outcome.code)


def test_credentials_that_cannot_be_fetched_just_now_may_be_back_soon() -> None:
    fault = CredentialRetrievalError(provider="iam-role", error_msg="the metadata service did not answer")
    assert isinstance(ask(lambda _: (200, b"{}"), fault=fault), Disturbed)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b'{"Mod', b"\xff\xfe", b"[]", b"null", b"{}", b'{"ModerationLabels": [NaN]}'],
    ids=repr,
)
def test_an_answer_that_makes_no_sense_is_asked_again_and_stays_owed(body: bytes) -> None:
    outcome = ask(lambda _: (200, body))
    assert isinstance(outcome, Disturbed)
    assert error_codes.is_owed(outcome.code)


@pytest.mark.parametrize("status", [400, 403, 408, 413, 502, 503])
def test_a_proxys_refusal_is_none_of_the_images(status: int) -> None:
    outcome = ask(lambda _: (status, b"<html>go away</html>"))
    assert isinstance(outcome, Disturbed)
    assert error_codes.is_owed(outcome.code)


@pytest.mark.parametrize("code", ["SomethingNewException", "AccessDeniedException", "ValidationException"])
def test_a_refusal_is_about_the_image_only_if_the_probe_is_refused_for_another_reason(code: str) -> None:
    outcome = ask(lambda probe: refusal("InvalidImageFormatException" if probe else code))
    assert outcome == Refused(code, "no")


@pytest.mark.parametrize("message", ["account 1 is suspended", "request 7: account 1 is suspended"])
def test_a_refusal_of_an_unknown_kind_that_meets_every_call_is_no_row(message: str) -> None:
    """An account that is closed, say: else each image of the archive became a failed row."""
    with pytest.raises(DetectRequestRefused, match="SomethingNew"):
        ask(lambda probe: refusal("SomethingNewException", "closed" if probe else message))


def test_a_caller_without_rights_is_told_what_to_grant() -> None:
    with pytest.raises(DetectDenied, match="grant rekognition:DetectModerationLabels"):
        ask(lambda probe: refusal("AccessDeniedException", "probe" if probe else "image"))


@pytest.mark.parametrize("code", ["RequestThrottled", "RequestLimitExceeded", "TooManyRequestsException"])
def test_every_spelling_of_a_throttle_is_one(code: str) -> None:
    outcome = ask(lambda _: refusal(code))
    assert isinstance(outcome, Disturbed)
    assert error_codes.canonical(code) == error_codes.THROTTLING
