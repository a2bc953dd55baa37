"""HTTP/1.1 below the AWS protocol: what uvicorn does, with the answers AWS's front end gives."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from local_aws.rekognition.wire import model, protocol
from local_aws.rekognition.wire.errors import ApiError

_log = logging.getLogger(__name__)
_MALFORMED = ApiError("MalformedHttpRequestException", "The request is malformed at the HTTP level.")
_TOO_SLOW = ApiError("RequestTimeoutException", "The request was not received within the time allowed.")
_REASONS = {400: "Bad Request", 408: "Request Timeout"}


class Protocol(H11Protocol):
    """One connection.

    It stays with HTTP/1.1 whatever a client offers: Java's HttpClient asks for ``Upgrade: h2c`` with its
    first request and sends the body all the same, which a server may take as if it had not been asked (RFC
    9110, 7.8). A request that is no HTTP, or whose head does not arrive in time, is answered with a request
    id.

    :param head_seconds: how long a client may take to send the head of a request.
    """

    def __init__(self, *arguments: Any, head_seconds: float, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_seconds = head_seconds
        self._head_deadline: asyncio.TimerHandle | None = None
        self._head_begun = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._head_arrived()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass on what arrived, and note whether a request's head is whole."""
        begun = self.cycle
        self._head_begun = True
        if self._head_deadline is None and (begun is None or begun.response_complete):
            self._await_head()
        super().data_received(data)
        if self.cycle is not begun:
            self._head_arrived()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, in AWS's form."""
        self._refuse(_MALFORMED)

    def _should_upgrade(self) -> bool:
        return False

    def _await_head(self) -> None:
        self._head_deadline = self.loop.call_later(self._head_seconds, self._head_is_late)

    def _head_arrived(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
        self._head_deadline, self._head_begun = None, False

    def _head_is_late(self) -> None:
        self._head_deadline = None
        if self._head_begun:
            self._refuse(_TOO_SLOW)
        else:  # a connection that was opened in advance; an answer would be taken for that to a later request
            self.transport.close()

    def _refuse(self, error: ApiError) -> None:
        """Answer below the application, and close; an answer that has begun is cut."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self.transport.write(_refusal(error))
        self.transport.close()


def with_deadline(head_seconds: float) -> Any:
    """Return the protocol class for uvicorn's ``http`` setting, with its deadline bound."""
    return functools.partial(Protocol, head_seconds=head_seconds)


def _refusal(error: ApiError) -> bytes:
    request_id = protocol.new_request_id()
    status = protocol.error_status(error.code)
    body = json.dumps({"__type": error.code, "message": error.message}, separators=(",", ":")).encode()
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\n"
        f"x-amzn-requestid: {request_id}\r\n"
        f"content-type: {model.CONTENT_TYPE}\r\n"
        f"content-length: {len(body)}\r\n"
        "connection: close\r\n\r\n"
    )
    _log.info("request %s was refused: %s", request_id, error)
    return head.encode() + body
