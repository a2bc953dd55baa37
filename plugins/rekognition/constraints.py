"""
Check a request against AWS's own service model before it is sent.

botocore checks types, required members and minimums only; an over-long name, a bad pattern or
``MinConfidence=150`` travels to the service and comes back as a message that names no argument of ours.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from botocore.model import Shape, StructureShape

from rekognition.exceptions import RekognitionArgumentError

_SHOWN = 80  # characters of an offending value that an error repeats


def check_request(
    request: Mapping[str, Any], shape: StructureShape, argument_of: Mapping[str, str] | None = None
) -> None:
    """
    Raise for the first value in ``request`` that breaks a constraint of ``shape``.

    :param request: the arguments of one boto3 call.
    :param shape: its input shape: ``client.meta.service_model.operation_model(name).input_shape``.
    :param argument_of: how the caller names a member, by its dotted path (``Input.S3Object.Name``).
    :raises RekognitionArgumentError: naming the argument, the limit and the value.
    """
    _check_structure(request, shape, "", argument_of or {})


def _check_structure(
    value: Mapping[str, Any], shape: StructureShape, path: str, names: Mapping[str, str]
) -> None:
    for member in shape.required_members:
        if value.get(member) is None:
            raise RekognitionArgumentError(f"{_name(_join(path, member), names)} is required")
    for member, member_value in value.items():
        member_path = _join(path, member)
        if member not in shape.members:
            raise RekognitionArgumentError(f"{member_path} is no member of {shape.name}")
        member_shape = shape.members[member]
        if isinstance(member_shape, StructureShape):
            _check_structure(member_value, member_shape, member_path, names)
        elif problem := _problem(member_value, member_shape):
            raise RekognitionArgumentError(f"{_name(member_path, names)} {problem}")


def _problem(value: Any, shape: Shape) -> str | None:
    if shape.type_name == "string":
        return _string_problem(value, shape)
    if shape.type_name in ("float", "double", "integer", "long"):
        return _number_problem(value, shape)
    return None


def _string_problem(value: Any, shape: Shape) -> str | None:
    if not isinstance(value, str):
        return f"must be text, not {type(value).__name__} {_shown(value)}"
    limits = shape.metadata
    if len(value) < limits.get("min", 0):
        return f"must have at least {limits['min']} characters, has {len(value)}: {_shown(value)}"
    if len(value) > limits.get("max", math.inf):
        return f"must have at most {limits['max']} characters, has {len(value)}: {_shown(value)}"
    # AWS matches a pattern against the whole value, anchored or not; its \d and \s mean ASCII.
    if (pattern := limits.get("pattern")) and not re.fullmatch(pattern, value, re.ASCII):
        return f"must match {pattern}, which {_shown(value)} does not"
    if shape.enum and value not in shape.enum:
        return f"must be one of {', '.join(shape.enum)}, not {_shown(value)}"
    return None


def _number_problem(value: Any, shape: Shape) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return f"must be a number, not {_shown(value)}"
    low, high = shape.metadata.get("min", -math.inf), shape.metadata.get("max", math.inf)
    if not low <= value <= high:
        return f"must lie between {low} and {high}, not {value}"
    return None


def _join(path: str, member: str) -> str:
    return f"{path}.{member}" if path else member


def _name(path: str, names: Mapping[str, str]) -> str:
    return f"{names[path]} ({path})" if path in names else path


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
