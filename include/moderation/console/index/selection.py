"""What a person chose to see of a load: as the query of an address, and as SQL over its index."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from moderation.errors import NeedsAPersonError
from moderation.schema import CONTENT_TYPES

SHOWN = ("flagged", "unflagged", "all", "failed")
ORDERS = ("confidence", "doubtful", "name")
_MOST_TEXT = 400


class SelectionError(NeedsAPersonError, ValueError):
    """An address asks for what cannot be; the message says which part of it."""


@dataclass(frozen=True, kw_only=True)
class Selection:
    """A choice of a load's images.

    :param shown: flagged or unflagged at the threshold, all, or those without an answer (`SHOWN`).
    :param at: the threshold for all labels, percent; None for the thresholds in use.
    :param node: path of a label: only images in which it was found (or, unflagged, in which it was not).
    :param kind: only images of this content type.
    :param code: only failures with this code.
    :param gone: only images that are gone at their source.
    :param text: only images whose address has this text in it, in any case.
    :param order: highest confidence first, lowest first, or by address (`ORDERS`).
    """

    shown: str = "flagged"
    at: float | None = None
    node: str | None = None
    kind: str | None = None
    code: str | None = None
    gone: bool = False
    text: str = ""
    order: str = "confidence"

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Selection:
        """Read the query of an address; what it lacks has its default, what is unknown is left alone.

        :raises SelectionError: a value cannot be.
        """
        return cls(
            shown=_one_of(query, "show", SHOWN),
            at=_percent(query.get("at")),
            node=_text(query, "label") or None,
            kind=_one_of(query, "type", ("", *CONTENT_TYPES)) or None,
            code=_text(query, "code") or None,
            gone=_one_of(query, "gone", ("", "1")) == "1",
            text=_text(query, "q"),
            order=_one_of(query, "order", ORDERS),
        )

    def query(self, **changed: Any) -> str:
        """The query of its address, without what is default."""
        chosen = replace(self, **changed)
        default = Selection()
        at = None if chosen.at is None else f"{chosen.at:g}"
        told = {
            "show": chosen.shown if chosen.shown != default.shown else None,
            "at": at,
            "label": chosen.node,
            "type": chosen.kind,
            "code": chosen.code,
            "gone": "1" if chosen.gone else None,
            "q": chosen.text or None,
            "order": chosen.order if chosen.order != default.order else None,
        }
        return urlencode({name: value for name, value in told.items() if value is not None})


def _one_of(query: Mapping[str, str], name: str, values: tuple[str, ...]) -> str:
    value = query.get(name, values[0])
    if value not in values:
        raise SelectionError(f"{name}={value[:60]!r} is not one of {', '.join(filter(None, values))}")
    return value


def _text(query: Mapping[str, str], name: str) -> str:
    value = query.get(name, "")
    if len(value) > _MOST_TEXT:
        raise SelectionError(f"{name} has more than {_MOST_TEXT} characters")
    return value


def _percent(text: str | None) -> float | None:
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 100:
        raise SelectionError(f"at={text[:20]!r} is no percent from 0 to 100")
    return number
