"""The HTTP side: one ASGI application for the AWS protocol at ``/`` and the local side at ``/_local/``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.model import OperationModel
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from local_aws.rekognition import admin, auth, model, protocol, validation
from local_aws.rekognition.errors import ApiError
from local_aws.rekognition.faults import Struck
from local_aws.rekognition.operations import OPERATIONS
from local_aws.rekognition.operations.call import Call
from local_aws.rekognition.service import Service

_log = logging.getLogger(__name__)
_LARGE_BODY = 64 * 1024
_LARGE_AT_ONCE = 8


class _ConnectionCut(Exception):
    """A fault asked for the connection to end without an answer."""


class App:
    """The ASGI application.

    It stands outside Starlette's middleware, because cutting a connection needs the server's own ``send``.

    :param admin_token: bearer token of the ``/_local/`` routes.
    """

    def __init__(self, service: Service, *, admin_token: str) -> None:
        self._aws = AwsEndpoint(service)
        self._local = Starlette(
            routes=[Mount("/_local", app=admin.build(service, token=admin_token))],
            lifespan=_lifespan(service),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event."""
        path = scope.get("path", "")
        if scope["type"] == "http" and path != "/_local" and not path.startswith("/_local/"):
            await self._aws(scope, receive, send)
        else:
            await self._local(scope, receive, send)


class AwsEndpoint:
    """AWS JSON 1.1 over POST: signature, faults, rate, parameters, operation, in this order."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._large = asyncio.Semaphore(_LARGE_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request_id = protocol.new_request_id()
        request = Request(scope, receive)
        try:
            if _content_length(request) > _LARGE_BODY:
                async with self._large:  # a request with an image is held in memory until it is answered
                    status, body = await self._answer(request, request_id)
            else:
                status, body = await self._answer(request, request_id)
        except _ConnectionCut:
            _cut(send)
            return
        except ClientDisconnect:
            return
        headers = {"x-amzn-RequestId": request_id, "Content-Type": model.CONTENT_TYPE}
        await Response(body, status, headers)(scope, receive, send)

    async def _answer(self, request: Request, request_id: str) -> tuple[int, bytes]:
        try:
            return 200, await self._perform(request, request_id)
        except ApiError as error:
            failure = error
        except _ConnectionCut:
            raise
        except ClientDisconnect:
            raise
        except Exception:  # as AWS does: a fault of the server is a 500 to the client, the log says which
            _log.exception("request %s failed by a fault of the server", request_id)
            failure = ApiError("InternalServerError", "Internal server error.")
        return protocol.error_status(failure.code), protocol.encode_error(failure, request_id)

    async def _perform(self, request: Request, request_id: str) -> bytes:
        service = self._service
        body = await _read_body(request, service.limits.body_bytes)
        identity = self._authenticate(request, body)
        name, shape = _operation(request)
        document = protocol.decode(body)
        job_name = document.get("JobName") if isinstance(document, dict) else None
        faults = service.faults.strike(name, job_name if isinstance(job_name, str) else None)
        _refuse_by_fault(faults)
        service.throttle.take(identity.region, name, service.limits.rate(name, identity.region))
        code = service.settings.constraint_error_code
        parameters = validation.parse_input(shape.input_shape, document, violation_code=code)
        answer = await OPERATIONS[name](Call(service, identity, parameters, request_id, faults))
        await _delay_by_fault(faults, request)
        return protocol.encode(shape.output_shape, answer)

    def _authenticate(self, request: Request, body: bytes) -> auth.Identity:
        headers: dict[str, str] = {}
        for name, value in request.headers.items():
            headers[name] = f"{headers[name]},{value}" if name in headers else value
        signed = auth.SignedRequest(request.method, request.url.path, request.url.query, headers, body)
        skew = timedelta(seconds=self._service.settings.clock_skew_seconds)
        return auth.verify(signed, self._service.secrets, now=datetime.now(UTC), allowed_skew=skew)


def _operation(request: Request) -> tuple[str, OperationModel]:
    """Return the operation a request asks for.

    :raises ApiError: UnknownOperationException.
    """
    target = request.headers.get("x-amz-target", "")
    name = target.removeprefix(model.TARGET_PREFIX)
    known = target.startswith(model.TARGET_PREFIX) and name in model.service_model().operation_names
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if request.method != "POST" or request.url.path != "/" or not known or kind != model.CONTENT_TYPE:
        raise ApiError("UnknownOperationException", "The requested operation is not known.")
    if name not in OPERATIONS:
        offered = ", ".join(OPERATIONS)
        raise ApiError(
            "UnknownOperationException", f"The offline endpoint has no {name}; it offers {offered}."
        )
    return name, model.operation_model(name)


async def _read_body(request: Request, limit: int) -> bytes:
    """Return the body.

    :raises ApiError: it is larger than ``limit`` bytes; no more than that is read.
    """
    body = bytearray()
    if _content_length(request) <= limit:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                break
        else:
            return bytes(body)
    raise ApiError("RequestEntityTooLargeException", f"The request is larger than {limit} bytes.")


def _content_length(request: Request) -> int:
    text = request.headers.get("content-length", "0")
    return int(text) if text.isdecimal() else 0


def _refuse_by_fault(faults: Struck) -> None:
    if faults.of("drop"):
        raise _ConnectionCut
    rule = faults.of("throttle", "internal_error", "ineligible", "error")
    if rule is None:
        return
    code, message = {
        "throttle": ("ThrottlingException", "Slow down; sudden increase in rate of requests."),
        "internal_error": ("InternalServerError", "Internal server error."),
        "ineligible": ("AccessDeniedException", "This account is not authorized to perform the action."),
        "error": ("InternalServerError", "The request was refused by a fault rule."),
    }[rule.kind]
    raise ApiError(rule.code or code, rule.message or message)


async def _delay_by_fault(faults: Struck, request: Request) -> None:
    """Hold back or lose the answer to work that is done."""
    if slow := faults.of("slow"):
        await asyncio.sleep(slow.seconds)
    if lost := faults.of("lost_answer"):
        waited = 0.0
        while waited < lost.seconds and not await request.is_disconnected():
            await asyncio.sleep(0.05)
            waited += 0.05
        raise _ConnectionCut


def _cut(send: Send) -> None:
    """End the connection without a byte of answer.

    uvicorn's ``send`` is a method of the object that owns the transport. Behind another server there may be
    none; then returning without an answer makes that server send its own error.
    """
    transport: Any = getattr(getattr(send, "__self__", None), "transport", None)
    if transport is not None:
        transport.abort()


def _lifespan(service: Service) -> Any:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        service.start()
        yield
        await asyncio.to_thread(service.close)

    return lifespan
