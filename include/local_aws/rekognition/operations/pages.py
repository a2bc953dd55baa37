"""Answers in pages: where one ends stands in a token that only this server reads."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from local_aws.rekognition.operations.call import Call
from local_aws.rekognition.wire.errors import ApiError

T = TypeVar("T")
Place = TypeVar("Place", int, str)


def token(call: Call, place: int | str) -> str:
    """Return the NextToken of a page that ends at ``place``; it holds for the call's operation and region."""
    text = json.dumps([call.name, call.identity.region, place])
    return base64.urlsafe_b64encode(text.encode()).decode()


def read_token(call: Call, *, kind: type[Place]) -> Place | None:
    """Return where the last page ended.

    An empty token begins anew, as on AWS: SDKs send one when a program hands on the token of a last page.

    :param kind: type of the place.
    :return: None for the first page.
    :raises ApiError: InvalidPaginationTokenException: the token is not one of this operation and region.
    """
    given = call.parameters.get("NextToken")
    if not given:
        return None
    try:
        name, region, place = json.loads(base64.urlsafe_b64decode(given.encode()))
    except (ValueError, TypeError):
        name = region = place = None
    if (name, region) != (call.name, call.identity.region) or type(place) is not kind:
        raise ApiError("InvalidPaginationTokenException")
    return place


def page(call: Call, items: Iterable[T], *, place: Callable[[T], str], default: int) -> dict[str, Any]:
    """Cut one page out of all items.

    :param place: sets the order of the pages; each item has its own, so that items that come or go meanwhile
        shift no other.
    :param default: length of a page where the call names none.
    :return: ``items`` and ``NextToken``, which is None on the last page.
    :raises ApiError: InvalidPaginationTokenException.
    """
    after = read_token(call, kind=str)
    rest = sorted((item for item in items if after is None or place(item) > after), key=place)
    limit = call.parameters.get("MaxResults", default)
    shown = rest[:limit]
    return {"items": shown, "NextToken": token(call, place(shown[-1])) if len(rest) > limit else None}
