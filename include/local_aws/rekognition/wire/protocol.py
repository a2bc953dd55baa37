"""AWS JSON 1.1: decoding a request body and encoding answers and errors."""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any, NoReturn

from botocore.model import ListShape, MapShape, Shape, StructureShape

from local_aws.rekognition.wire import model
from local_aws.rekognition.wire.errors import ApiError

_FRONT_END_STATUS = {"RequestEntityTooLargeException": 413, "RequestTimeoutException": 408}
"""Codes of the HTTP layer in front of the service; all others answer 400."""


def new_request_id() -> str:
    """Return a request id in AWS's form."""
    return str(uuid.uuid4())


def decode(body: bytes) -> Any:
    """Decode a request body; an empty one is an empty document.

    :raises ApiError: SerializationException when it is not strict JSON in UTF-8.
    """
    if not body:
        return {}
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise ApiError("SerializationException", "The request body is not valid JSON") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def encode(shape: Shape | None, answer: dict[str, Any]) -> bytes:
    """Encode an answer by its output shape; members that are None are left out.

    :param answer: members by name; timestamps as seconds since 1970, UTC.
    :raises TypeError: the answer does not fit the shape, which is a fault of this server.
    """
    return json.dumps(_prepare(shape, answer, "answer") if shape else {}, separators=(",", ":")).encode()


def _prepare(shape: Shape, value: Any, path: str) -> Any:
    if isinstance(shape, StructureShape):
        unknown = value.keys() - shape.members.keys()
        missing = {name for name in shape.required_members if value.get(name) is None}
        if unknown or missing:
            raise TypeError(f"{path} lacks {sorted(missing)} and has unknown {sorted(unknown)}")
        return {
            name: _prepare(shape.members[name], item, f"{path}.{name}")
            for name, item in value.items()
            if item is not None
        }
    if isinstance(shape, ListShape):
        return [_prepare(shape.member, item, path) for item in value]
    if isinstance(shape, MapShape):
        return {key: _prepare(shape.value, item, f"{path}.{key}") for key, item in value.items()}
    if shape.type_name == "blob":
        return base64.b64encode(value).decode()
    if shape.type_name == "timestamp":
        return round(float(value), 3)
    return value


def error_status(code: str) -> int:
    """Return the HTTP status of an error code.

    500 for InternalServerError, 400 for all else, signature errors included, as AWS's JSON services answer.
    The service model marks ThrottlingException as a fault too, but the developer guide has it as a 400 as
    well as a 500: the error itself says when it is the latter.
    """
    if code == "ThrottlingException":
        return 400
    return model.modelled_errors().get(code, _FRONT_END_STATUS.get(code, 400))


def encode_error(error: ApiError, request_id: str) -> bytes:
    """Encode an error body.

    Rekognition's own exceptions carry ``Code``, ``Logref`` and ``Message`` (developer guide, "Error
    handling"); those of AWS's common front end carry ``message`` only.
    """
    if error.code in model.modelled_errors():
        body = {"__type": error.code, "Code": error.code, "Logref": request_id, "Message": error.message}
    else:
        body = {"__type": error.code, "message": error.message}
    return json.dumps(body, separators=(",", ":")).encode()
