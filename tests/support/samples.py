"""Valid values of any shape of the service model, and every way to break one of its constraints."""

from __future__ import annotations

import base64
import copy
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from botocore.model import ListShape, MapShape, Shape, StructureShape

_ARN = "arn:aws:rekognition:us-east-1:123456789012:project/p"
_CANDIDATES = (
    "abc",
    "arn",
    f"{_ARN}/1700000000000",
    f"{_ARN}/version/v1/1700000000000",
    f"{_ARN}/dataset/train/1",
    "arn:aws:iam::123456789012:role/name",
    "arn:aws:sns:us-east-1:123456789012:topic",
    "12345678-1234-1234-1234-123456789012",
    "1.0.0",
    "{}",
    "1",
    "a" * 30,
)


class Broken(NamedTuple):
    """A document in which exactly one constraint is violated."""

    name: str
    document: dict[str, Any]
    path: str
    constraint: str


def sample(shape: Shape) -> Any:
    """A valid JSON value with every member set."""
    if isinstance(shape, StructureShape):
        return {name: sample(member) for name, member in shape.members.items()}
    if isinstance(shape, ListShape):
        return [sample(shape.member)] * max(1, shape.metadata.get("min", 1))
    if isinstance(shape, MapShape):
        return {sample(shape.key): sample(shape.value)}
    simple = {"string": _string, "blob": _blob, "boolean": lambda _: True}
    return simple.get(shape.type_name, lambda number: number.metadata.get("min", 1))(shape)


def _blob(shape: Shape) -> str:
    return base64.b64encode(b"x" * max(1, shape.metadata.get("min", 1))).decode()


def _string(shape: Shape) -> str:
    traits = shape.metadata
    if traits.get("enum"):
        return str(traits["enum"][0])
    for text in _CANDIDATES:
        fits = traits.get("min", 0) <= len(text) <= traits.get("max", 10**9)
        if fits and re.fullmatch(traits.get("pattern", ".*").replace(r"\p{L}\p{Z}\p{N}", "a-z0-9"), text):
            return text
    raise AssertionError(f"no sample for {shape.name}: add one to _CANDIDATES")


def broken(shape: StructureShape) -> Iterator[Broken]:
    """Yield a document for each single constraint of an input shape."""
    whole = sample(shape)
    for steps, path, bad, constraint in _violations(shape, whole, (), ""):
        document = copy.deepcopy(whole)
        target = document
        for step in steps[:-1]:
            target = target[step]
        if bad is _ABSENT:
            del target[steps[-1]]
        else:
            target[steps[-1]] = bad
        yield Broken(f"{path}: {constraint[:60]}", document, path, constraint)


_ABSENT = object()


def _violations(shape: Shape, value: Any, steps: tuple[Any, ...], path: str) -> Iterator[Any]:
    if isinstance(shape, StructureShape):
        for name, member in shape.members.items():
            below = f"{path}.{name[0].lower()}{name[1:]}".removeprefix(".")
            if name in shape.required_members:
                yield (*steps, name), below, _ABSENT, "Member must not be null"
            yield from _violations(member, value[name], (*steps, name), below)
        return
    yield from ((steps, path, bad, text) for bad, text in _own(shape, value))
    if isinstance(shape, ListShape):
        yield from _violations(shape.member, value[0], (*steps, 0), f"{path}.1.member")


def _own(shape: Shape, value: Any) -> Iterator[tuple[Any, str]]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    noun = "length" if shape.type_name in {"string", "blob", "list", "map"} else "value"
    if high is not None:
        yield _of_size(shape, high + 1, value), f"Member must have {noun} less than or equal to {high}"
    if low is not None and (low > 0 or noun == "value"):
        yield _of_size(shape, low - 1, value), f"Member must have {noun} greater than or equal to {low}"
    pattern = shape.metadata.get("pattern")
    if pattern:
        yield "ö€ \n" * 6, f"Member must satisfy regular expression pattern: {pattern}"
    if shape.metadata.get("enum"):
        yield "NoSuchValue", "Member must satisfy enum value set: ["


def _of_size(shape: Shape, size: int, value: Any) -> Any:
    """A value of this length (or this number) that is otherwise as good as can be."""
    if shape.type_name == "string":
        return "a" * size
    if shape.type_name == "blob":
        return base64.b64encode(bytes(size)).decode()
    if shape.type_name == "list":
        return (value * size)[:size]
    if shape.type_name == "map":
        return {f"key{number}": next(iter(value.values())) for number in range(size)}
    return size
