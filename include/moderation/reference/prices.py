"""What a run costs: tiers of images a month, each with its price.

AWS publishes prices by region and changes them; the defaults here are its published examples, and
``MODERATION_PRICE_TIERS`` replaces them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation


@dataclass(frozen=True)
class PriceTier:
    """One step of the price list.

    :param up_to: images a month up to which this price holds; None for the last tier.
    :param usd_per_image: price of each image within the tier.
    """

    up_to: int | None
    usd_per_image: Decimal


DEFAULT_TIERS = (
    PriceTier(1_000_000, Decimal("0.0010")),
    PriceTier(5_000_000, Decimal("0.0008")),
    PriceTier(None, Decimal("0.0006")),
)

DEFAULT_ADAPTER_TIERS = (PriceTier(None, Decimal("0.0012")),)
"""An adapter's answers are priced apart; AWS publishes no tiers for them."""


def parse_tiers(text: str) -> tuple[PriceTier, ...]:
    """Read tiers from JSON, for example ``[[1000000, 0.001], [null, 0.0008]]``.

    :raises ValueError: not such a list, limits not rising, a negative price, or no last tier without limit.
    """
    try:
        rows = json.loads(text, parse_float=Decimal)
        tiers = tuple(PriceTier(limit, Decimal(price)) for limit, price in rows)
    except (TypeError, ValueError, InvalidOperation) as error:
        raise ValueError("expected JSON such as [[1000000, 0.001], [null, 0.0008]]") from error
    limits = [tier.up_to for tier in tiers]
    if not tiers or limits[-1] is not None:
        raise ValueError("the last tier must have null as its limit")
    if any(isinstance(limit, bool) or not isinstance(limit, int) for limit in limits[:-1]):
        raise ValueError("each limit but the last must be a whole number of images")
    bounds = [0, *(limit for limit in limits if limit is not None)]
    if bounds != sorted(set(bounds)):
        raise ValueError("limits must be positive and rise from tier to tier")
    if any(not tier.usd_per_image.is_finite() or tier.usd_per_image < 0 for tier in tiers):
        raise ValueError("a price must be a number of US dollars, zero or more")
    return tiers


def cost_usd(
    images: int, *, tiers: Sequence[PriceTier] = DEFAULT_TIERS, already_this_month: int = 0
) -> Decimal:
    """Price of ``images`` analysed images in US dollars.

    AWS bills the images that were analysed successfully, so the cost of a finished run is taken with that
    count, and a plan's cost, taken with all its images, is an upper bound.

    :param tiers: the price list, ending with a tier without limit.
    :param already_this_month: images already billed this month; they fill the first tiers.
    """
    if images < 0 or already_this_month < 0:
        raise ValueError("a number of images cannot be negative")
    total = Decimal(0)
    position, remaining = already_this_month, images
    for tier in tiers:
        room = remaining if tier.up_to is None else max(0, min(remaining, tier.up_to - position))
        total += room * tier.usd_per_image
        position += room
        remaining -= room
    return total


def affordable(usd: Decimal, *, tiers: Sequence[PriceTier], already_this_month: int = 0) -> int | None:
    """How many images so many US dollars pay for; None when what is left of the price list is free.

    :param already_this_month: as of :func:`cost_usd`, which is the other way round.
    """
    images, left, position = 0, max(usd, Decimal(0)), already_this_month
    for tier in tiers:
        room = None if tier.up_to is None else max(0, tier.up_to - position)
        if tier.usd_per_image:
            paid = int(left / tier.usd_per_image)
            if room is None or paid < room:
                return images + paid
        elif room is None:
            return None
        images, position = images + room, position + room
        left -= room * tier.usd_per_image
    raise AssertionError("the last tier has no limit")
