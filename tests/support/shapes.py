"""Checks of raw JSON against botocore's shapes, written apart from the server's own encoder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (int, float),
    "boolean": (bool,),
    "blob": (str,),
}


def deviations(shape: Shape, value: Any, path: str = "$") -> Iterator[str]:
    """Yield what is wrong with a decoded JSON value."""
    if isinstance(shape, StructureShape):
        if not isinstance(value, dict):
            yield f"{path} is no object"
            return
        yield from (f"{path}.{name} is unknown" for name in value.keys() - shape.members.keys())
        yield from (f"{path}.{name} is missing" for name in shape.required_members if name not in value)
        for name, member in shape.members.items():
            if name in value:
                yield from deviations(member, value[name], f"{path}.{name}")
    elif isinstance(shape, ListShape):
        if not isinstance(value, list):
            yield f"{path} is no list"
            return
        yield from _size(shape, len(value), path)
        for number, item in enumerate(value):
            yield from deviations(shape.member, item, f"{path}[{number}]")
    elif isinstance(shape, MapShape):
        yield from _map(shape, value, path)
    elif not isinstance(value, _KINDS[shape.type_name]) or (
        isinstance(value, bool) and shape.type_name != "boolean"
    ):
        yield f"{path} is {value!r}, not a {shape.type_name}"
    else:
        yield from _size(shape, len(value) if isinstance(value, str) else value, path)
        allowed = shape.metadata.get("enum")
        if allowed and value not in allowed:
            yield f"{path} is {value!r}, not one of {allowed}"


def _map(shape: MapShape, value: Any, path: str) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path} is no object"
        return
    yield from _size(shape, len(value), path)
    for name, item in value.items():
        yield from deviations(shape.key, name, f"{path} key")
        yield from deviations(shape.value, item, f"{path}.{name}")


def _size(shape: Shape, measure: float, path: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and measure < low:
        yield f"{path} measures {measure}, less than {low}"
    if high is not None and measure > high:
        yield f"{path} measures {measure}, more than {high}"
