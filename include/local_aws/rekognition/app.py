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
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from local_aws.rekognition import admin
from local_aws.rekognition.faults import Struck
from local_aws.rekognition.images import parcels
from local_aws.rekognition.images.parcels import Parcel
from local_aws.rekognition.operations.call import Call
from local_aws.rekognition.operations.table import OPERATIONS
from local_aws.rekognition.service import Service
from local_aws.rekognition.sts import endpoint as sts
from local_aws.rekognition.wire import auth, model, protocol, validation
from local_aws.rekognition.wire.errors import MESSAGES, SERVICE_UNAVAILABLE, ApiError, access_denied
from local_aws.rekognition.wire.intake import Bounds, Intake

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
    """AWS JSON 1.1 over POST.

    Head, body, signature, parameters, denials, faults, rate, operation, in this order.

    What a request is refused for costs it nothing that comes later in this order: one without a key is not
    read, one that breaks a constraint takes nothing from the quota.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._sts = sts.StsEndpoint(service)
        self._large = asyncio.Semaphore(_LARGE_AT_ONCE)
        settings = service.settings
        self._bounds = Bounds(
            service.limits.body_bytes,
            settings.body_idle_seconds,
            settings.body_seconds,
            service.waiting_room,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request_id = protocol.new_request_id()
        request = Request(scope, receive)
        intake = Intake(request, self._bounds)
        head = _head(request)
        kind = model.CONTENT_TYPE
        try:
            if auth.is_signed_for(head, sts.SERVICE):
                kind = sts.CONTENT_TYPE
                status, body = await self._sts.answer(head, intake, request_id)
            else:
                status, body = await self._answer(request, intake, request_id)
        except _ConnectionCut:
            _cut(send)
            return
        except ClientDisconnect:
            return
        await _reply(send, intake, status=status, body=body, request_id=request_id, kind=kind)

    async def _answer(self, request: Request, intake: Intake, request_id: str) -> tuple[int, bytes]:
        try:
            return 200, await self._perform(request, intake, request_id)
        except ApiError as error:
            failure = error
        except (_ConnectionCut, ClientDisconnect):
            raise
        except Exception:  # as AWS does: a fault of the server is a 500 to the client, the log says which
            _log.exception("request %s failed by a fault of the server", request_id)
            failure = ApiError("InternalServerError")
        if failure.reason:
            _log.info("request %s was refused: %s", request_id, failure)
        status = failure.status or protocol.error_status(failure.code)
        return status, protocol.encode_error(failure, request_id)

    async def _perform(self, request: Request, intake: Intake, request_id: str) -> bytes:
        service = self._service
        claim = self._read_claim(request)
        name, shape = _operation(request)
        with await intake.take() as body:
            identity = claim.prove(body_sha256=body.sha256)
            parameters = await self._parse(shape, body)
        try:
            service.denials.check(name, user_arn=self._user_arn(identity))
            faults = service.faults.strike(name, parameters.get("JobName"))
            _refuse_by_fault(faults, self._user_arn(identity), name)
            service.throttle.take(identity.region, name, service.limits.rate(name, identity.region))
            answer = await OPERATIONS[name](Call(name, service, identity, parameters, request_id, faults))
        finally:
            parcels.close_all(parameters)
        await _delay_by_fault(faults, request)
        return protocol.encode(shape.output_shape, answer)

    def _user_arn(self, identity: auth.Identity) -> str:
        return auth.user_arn(identity, account_id=self._service.settings.account_id)

    def _read_claim(self, request: Request) -> auth.Claim:
        skew = timedelta(seconds=self._service.settings.clock_skew_seconds)
        now = datetime.now(UTC)
        return auth.read_claim(_head(request), self._service.keys, now=now, allowed_skew=skew)

    async def _parse(self, shape: OperationModel, body: Parcel) -> dict[str, Any]:
        """Decode and check the parameters; a large body is in memory only meanwhile, its blobs are packed."""
        code, folder = self._service.settings.constraint_error_code, self._service.waiting_room

        def parse() -> dict[str, Any]:
            document = protocol.decode(body.read())
            found = validation.parse_input(shape.input_shape, document, violation_code=code)
            try:
                parcels.pack_blobs(found, folder)
            except BaseException:
                parcels.close_all(found)
                raise
            return found

        if body.size <= _LARGE_BODY:
            return parse()
        async with self._large:
            return await asyncio.get_running_loop().run_in_executor(self._service.control, parse)


def _head(request: Request) -> auth.RequestHead:
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return auth.RequestHead(request.method, request.url.path, request.url.query, headers)


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


def _refuse_by_fault(faults: Struck, user_arn: str, operation: str) -> None:
    if faults.of("drop"):
        raise _ConnectionCut
    rule = faults.of("throttle", "unavailable", "internal_error", "ineligible", "error")
    if rule is None:
        return
    refusal = {
        "throttle": ApiError("ThrottlingException"),
        "unavailable": ApiError("ThrottlingException", SERVICE_UNAVAILABLE, status=500),
        "internal_error": ApiError("InternalServerError"),
        "ineligible": access_denied(user_arn=user_arn, operation=operation),
        "error": ApiError("InternalServerError"),
    }[rule.kind]
    code = rule.code or refusal.code
    text = rule.message or (refusal.message if code == refusal.code else MESSAGES.get(code))
    raise ApiError(
        code,
        text or "The request was refused by a fault rule.",
        status=refusal.status if not rule.code else None,
    )


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


async def _reply(send: Send, intake: Intake, *, status: int, body: bytes, request_id: str, kind: str) -> None:
    """Send the whole answer; of a request that was not read, read the rest before the connection closes."""
    headers = [
        (b"x-amzn-requestid", request_id.encode()),
        (b"content-type", kind.encode()),
        (b"content-length", str(len(body)).encode()),
    ]
    if not intake.is_whole:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    if not intake.is_whole:
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await intake.drain()
        body = b""
    await send({"type": "http.response.body", "body": body})


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
