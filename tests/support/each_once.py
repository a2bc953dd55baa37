"""Products of parameters of which the suite tries each value once, and the long suite all."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import pytest


def each_once(names: str, *values: Sequence[Any] | Mapping[str, Any]) -> pytest.MarkDecorator:
    """
    Parametrize a test with every combination; all are long but as many as show each value once.

    The values take turns with each other: the first of all together, then the second of all, and so on.

    :param names: of the parameters, as pytest has them.
    :param values: of each parameter; in a mapping, by what pytest is to call them.
    """
    given = [[*each.values()] if isinstance(each, Mapping) else [*each] for each in values]
    called = [[*each] if isinstance(each, Mapping) else [_called(value) for value in each] for each in values]
    short = {tuple(turn % len(each) for each in given) for turn in range(max(map(len, given)))}
    return pytest.mark.parametrize(
        names,
        [
            pytest.param(
                *(each[place] for each, place in zip(given, places, strict=True)),
                id="-".join(each[place] for each, place in zip(called, places, strict=True)),
                marks=() if places in short else pytest.mark.long,
            )
            for places in itertools.product(*(range(len(each)) for each in given))
        ],
    )


def _called(value: Any) -> str:
    return str(getattr(value, "__name__", value))
