"""What a promotion would ask for anew: how many images were answered before it, and their price a night."""

from __future__ import annotations

from dataclasses import dataclass

from moderation.errors import WarehouseMissingError
from moderation.query.published_views import open_published
from moderation.reference import prices
from moderation.settings import Settings


@dataclass(frozen=True)
class Older:
    """Images that keep their answers, but for a share a night.

    :param images: that were answered before.
    :param a_night: of them, asked for anew each night.
    :param cost_usd: of one such night, at the set prices.
    """

    images: int
    a_night: int
    cost_usd: float

    def text(self) -> str:
        """A sentence."""
        return (
            f"{self.images:,} images were answered before; of these {self.a_night:,} a night are asked for "
            f"anew, at about {self.cost_usd:,.2f} USD"
        )


def count(settings: Settings, share: float) -> Older:
    """Count and price them.

    :param share: of the images answered before, a night; 0 to 1.
    """
    images = _answered(settings)
    a_night = round(images * share)
    cost = prices.cost_usd(a_night, tiers=settings.adapter_price_tiers)
    return Older(images, a_night, float(cost))


def _answered(settings: Settings) -> int:
    try:
        with open_published(settings) as connection:
            (number,) = connection.execute(
                "SELECT count(DISTINCT source_ref) FROM images WHERE status = 'moderated'"
            ).fetchall()[0]
    except WarehouseMissingError:
        return 0
    return int(number)
