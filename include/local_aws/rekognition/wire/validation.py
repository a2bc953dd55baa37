"""Checking a request against every constraint of its input shape, with AWS's error texts."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Iterator
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from local_aws.rekognition.wire.errors import ApiError
from local_aws.rekognition.wire.java_regex import compile_java

_SHOWN_CHARACTERS = 1024
"""A longer value is cut in the error text, so that a client cannot make the server echo megabytes."""


def parse_input(shape: StructureShape | None, document: Any, *, violation_code: str) -> dict[str, Any]:
    """Turn a decoded JSON document into typed parameters.

    Members that the shape does not know are dropped and nulls count as absent, as AWS does.

    :param shape: the operation's input shape; None when it takes nothing.
    :param violation_code: exception name for a violated constraint.
    :return: members by name; blobs as bytes.
    :raises ApiError: SerializationException for a value of the wrong JSON type, ``violation_code`` for
        constraints, all violations in one message.
    """
    if shape is None:
        return {}
    if not isinstance(document, dict):
        raise _wrong_type(document, "Structure")
    parameters: dict[str, Any] = _coerce(shape, document)
    violations = [
        f"Value {_show(value)} at '{path}' failed to satisfy constraint: {constraint}"
        for value, path, constraint in _violations(shape, parameters, "")
    ]
    if violations:
        plural = "error" if len(violations) == 1 else "errors"
        text = f"{len(violations)} validation {plural} detected: " + "; ".join(violations)
        raise ApiError(violation_code, text)
    return parameters


def _coerce(shape: Shape, value: Any) -> Any:
    if isinstance(shape, StructureShape):
        if not isinstance(value, dict):
            raise _wrong_type(value, "Structure")
        return {
            name: _coerce(member, value[name])
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
    if isinstance(shape, ListShape):
        if not isinstance(value, list):
            raise _wrong_type(value, "List")
        return [None if item is None else _coerce(shape.member, item) for item in value]
    if isinstance(shape, MapShape):
        if not isinstance(value, dict):
            raise _wrong_type(value, "Map")
        return {key: None if item is None else _coerce(shape.value, item) for key, item in value.items()}
    return _SCALARS[shape.type_name](value)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise _wrong_type(value, "String")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ApiError("SerializationException", "a string holds half of a surrogate pair") from None
    return value


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong_type(value, "Integer")
    return value


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong_type(value, "Float")
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong_type(value, "Boolean")
    return value


def _blob(value: Any) -> bytes:
    if not isinstance(value, str):
        raise _wrong_type(value, "Blob")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise ApiError("SerializationException", "a Blob is not valid base64") from None


_SCALARS: dict[str, Callable[[Any], Any]] = {
    "string": _string,
    "character": _string,
    "integer": _integer,
    "long": _integer,
    "float": _float,
    "double": _float,
    "timestamp": _float,
    "boolean": _boolean,
    "blob": _blob,
}

_JSON_KINDS = {
    bool: "TRUE_VALUE or FALSE_VALUE",
    int: "NUMBER_VALUE",
    float: "DECIMAL_VALUE",
    str: "STRING_VALUE",
}


def _wrong_type(value: Any, wanted: str) -> ApiError:
    if isinstance(value, dict | list) and wanted not in {"Structure", "List", "Map"}:
        return ApiError("SerializationException", "Start of structure or map found where not expected.")
    kind = _JSON_KINDS.get(type(value), "Start of structure or list")
    return ApiError("SerializationException", f"{kind} can not be converted to {wanted}")


def _violations(shape: Shape, value: Any, path: str) -> Iterator[tuple[Any, str, str]]:
    """Yield (value, path, constraint) for everything that is wrong at and below one value."""
    if isinstance(shape, StructureShape):
        for name in shape.required_members:
            if name not in value:
                yield None, _join(path, _lower_first(name)), "Member must not be null"
        for name, member in shape.members.items():
            if name in value:
                yield from _violations(member, value[name], _join(path, _lower_first(name)))
        return
    yield from _own_violations(shape, value, path)
    if isinstance(shape, ListShape):
        for number, item in enumerate(value, start=1):
            yield from _element(shape.member, item, f"{path}.{number}.member")
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            yield from _own_violations(shape.key, key, f"{path}.{key}.key")
            yield from _element(shape.value, item, f"{path}.{key}.value")


def _element(shape: Shape, value: Any, path: str) -> Iterator[tuple[Any, str, str]]:
    if value is None:
        yield None, path, "Member must not be null"
    else:
        yield from _violations(shape, value, path)


def _own_violations(shape: Shape, value: Any, path: str) -> Iterator[tuple[Any, str, str]]:
    """Yield what the traits of this very shape forbid: length or range, pattern, enumeration."""
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    sized = isinstance(value, str | bytes | list | dict)
    measure = len(value) if sized else value
    noun = "length" if sized else "value"
    if isinstance(measure, int | float) and not isinstance(measure, bool):
        if high is not None and not measure <= high:
            yield value, path, f"Member must have {noun} less than or equal to {high}"
        if low is not None and not measure >= low:
            yield value, path, f"Member must have {noun} greater than or equal to {low}"
    if not isinstance(value, str):
        return
    pattern = shape.metadata.get("pattern")
    if pattern and not compile_java(pattern).fullmatch(value):
        yield value, path, f"Member must satisfy regular expression pattern: {pattern}"
    allowed = shape.metadata.get("enum")
    if allowed and value not in allowed:
        yield value, path, f"Member must satisfy enum value set: [{', '.join(allowed)}]"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _lower_first(name: str) -> str:
    return name[:1].lower() + name[1:]


def _show(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bytes):  # Java prints the buffer, not its content; seen in real answers
        return f"'java.nio.HeapByteBuffer[pos=0 lim={len(value)} cap={len(value)}]'"
    text = f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)
    return f"'{text}'" if len(text) <= _SHOWN_CHARACTERS else f"'{text[:_SHOWN_CHARACTERS]}...'"
