"""Which images a shadow asks about: a random sample of the champion's, as many as the budget bears.

Below ``MODERATION_WORK_URI/adapters/shadow/<id>/``: sealed, ``shadow.json``, written once; manifests
``m000.jsonl`` and so on; ``asked.json``, see `budget`; and what single calls leave in ``output/``. The id is
made of what was asked for: a retry finds the shadow that was begun.
"""

from __future__ import annotations

import hashlib
import logging
from bisect import bisect_right
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from moderation.adapters import registry
from moderation.errors import NeedsAPersonError, WarehouseMissingError
from moderation.plan import manifests
from moderation.query.published_views import open_published
from moderation.reference import prices
from moderation.reference.content import SUBJECT_SQL
from moderation.review.sampling import draw
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.storage.state import read_state, seal

_log = logging.getLogger(__name__)

MOST = 10_000
"""Images of a shadow."""
_SPARE = 12
CHUNK = 200
"""Images of a manifest: the budget is looked at before each."""
_REMEDY = (
    "restore it from a version of the bucket, or begin another shadow (--name): what this one paid is lost"
)


class ShadowError(NeedsAPersonError):
    """A shadow cannot be begun, or what belongs to it is damaged."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """An image with the answer of the champion that it is compared with."""

    content: str
    source_ref: str
    etag: str | None
    size_bytes: int | None
    load_id: str
    manifest_id: str
    line_number: int


@dataclass(frozen=True, kw_only=True)
class Shadow:
    """A sample as it was drawn.

    :param champion: the ARN of the adapter whose answers they are; None for the base model's.
    :param affordable: images that may be paid for, whatever happens.
    :param cost_usd: of all images, once.
    :param chunk_images: of a manifest, but the last; another release may take another number.
    """

    shadow_id: str
    challenger: str
    champion: str | None
    name: str
    min_confidence: float | None
    max_cost_usd: float
    affordable: int
    cost_usd: float
    begun_at: str
    images: tuple[Seen, ...]
    chunk_images: int = CHUNK

    def folder(self, settings: Settings) -> str:
        """Where it lies."""
        return folder_of(settings, self.shadow_id)

    @property
    def chunks(self) -> list[tuple[Seen, ...]]:
        """The images of each manifest."""
        step = self.chunk_images
        return [self.images[first : first + step] for first in range(0, len(self.images), step)]

    def arguments(self, settings: Settings) -> list[dict[str, Any]]:
        """What single calls are asked for each manifest."""
        return [
            {
                "input_uri": manifest_uri(settings, self.shadow_id, number),
                "output_uri": f"{self.folder(settings)}/output",
                "min_confidence": self.min_confidence,
                "project_version_arn": self.challenger,
            }
            for number in range(len(self.chunks))
        ]

    def text(self) -> str:
        """A sentence."""
        return (
            f"{len(self.images):,} images that {self.champion or 'the base model'} answered, at about "
            f"{self.cost_usd:,.2f} USD; at most {self.max_cost_usd:,.2f} are spent"
        )


def folder_of(settings: Settings, shadow_id: str) -> str:
    """Where a shadow lies."""
    return s3_objects.join_uri(settings.work_uri, "adapters", "shadow", shadow_id)


def manifest_uri(settings: Settings, shadow_id: str, number: int) -> str:
    """One of its manifests."""
    return f"{folder_of(settings, shadow_id)}/m{number:03d}.jsonl"


def sealed(settings: Settings, shadow: Shadow) -> bytes:
    """What is written down of it; another install may have one of the same id."""
    return seal({**asdict(shadow), "place": shadow.folder(settings)})


def lines(shadow: Shadow, number: int) -> bytes:
    """What one of its manifests says."""
    return b"".join(manifests.line(one.source_ref) for one in shadow.chunks[number])


def prepare(
    settings: Settings, challenger: str, *, images: int, max_cost_usd: float, name: str = "first"
) -> Shadow:
    """Draw the sample and write it down; the same words find the one that was begun.

    :param images: wanted; fewer where the budget does not bear them or so many were not answered.
    :param name: another one for another sample of the same two.
    :raises ShadowError: there is nothing to compare with, or nothing can be paid.
    """
    champion = registry.load(settings).champion
    if champion == challenger:
        raise ShadowError(f"{challenger} is in use: a shadow is of an adapter that is not")
    if not 1 <= images <= MOST:
        raise ShadowError(f"{images} images: a shadow has 1 to {MOST:,}")
    asked = [challenger, champion, images, max_cost_usd, name]
    shadow_id = hashlib.sha256(orjson.dumps(asked)).hexdigest()[:16]
    with s3_objects.open_client(settings) as s3:
        if there := find(s3, settings, shadow_id):
            return there
        affordable = _affordable(settings, max_cost_usd)
        # A killed try loses what was under way: with something to spare it can be gone on with.
        wanted = min(images, affordable - min(_SPARE, affordable // 10))
        if not wanted:
            raise ShadowError(f"{max_cost_usd:,.4f} USD pay for no image; raise --max-cost-usd")
        least, found = _draw(settings, s3, champion, wanted, seed=int(shadow_id[:12], 16))
        shadow = Shadow(
            shadow_id=shadow_id,
            challenger=challenger,
            champion=champion,
            name=name,
            min_confidence=least,
            max_cost_usd=max_cost_usd,
            affordable=affordable,
            cost_usd=_cost(settings, len(found)),
            begun_at=datetime.now(UTC).isoformat(),
            images=tuple(found),
            chunk_images=CHUNK,
        )
        for number in range(len(shadow.chunks)):
            s3_objects.put(s3, manifest_uri(settings, shadow_id, number), lines(shadow, number))
        s3_objects.put_if_absent(s3, f"{shadow.folder(settings)}/shadow.json", sealed(settings, shadow))
        return load(settings, shadow_id)


def load(settings: Settings, shadow_id: str) -> Shadow:
    """A shadow that was begun.

    :raises ShadowError: there is none of that id, or it is damaged.
    """
    with s3_objects.open_client(settings) as s3:
        if found := find(s3, settings, shadow_id):
            return found
    raise ShadowError(f"there is no shadow {shadow_id}; begin one with `{settings.command} adapter shadow`")


def find(s3: Any, settings: Settings, shadow_id: str) -> Shadow | None:
    """As :func:`load`, None where there is none."""

    def parse(state: dict[str, Any]) -> Shadow:
        if (place := state.pop("place", folder)) != folder:
            raise ValueError(f"it is of the shadow {place}")
        return Shadow(**{**state, "images": tuple(Seen(**one) for one in state["images"])})

    folder = folder_of(settings, shadow_id)
    return read_state(s3, f"{folder}/shadow.json", parse=parse, error=ShadowError, remedy=_REMEDY)


def ids(s3: Any, settings: Settings) -> list[str]:
    """All shadows that were ever begun."""
    prefix = s3_objects.join_uri(settings.work_uri, "adapters", "shadow", "")
    start = len(s3_objects.split_uri(prefix).key)
    keys = (entry["Key"][start:] for entry in s3_objects.list_objects(s3, prefix))
    return sorted({key.partition("/")[0] for key in keys})


def _affordable(settings: Settings, max_cost_usd: float) -> int:
    """The most images whose price is within a budget."""
    return bisect_right(range(MOST * 2), max_cost_usd, key=lambda images: _cost(settings, images)) - 1


def _cost(settings: Settings, images: int) -> float:
    return float(prices.cost_usd(images, tiers=settings.adapter_price_tiers))


def _draw(
    settings: Settings, s3: Any, champion: str | None, wanted: int, *, seed: int
) -> tuple[float | None, list[Seen]]:
    """The MinConfidence of most answers, and so many of their images as they are still there, by chance."""
    try:
        with open_published(settings) as connection:
            rows = connection.execute(_ANSWERED, {"champion": champion}).fetchall()
    except WarehouseMissingError:
        rows = []
    asked = [row[-1] for row in rows]
    least = max(set(asked), key=lambda value: (asked.count(value), value or 0), default=None)
    known = {row[0]: Seen(**dict(zip(_COLUMNS, row[:-1], strict=True))) for row in rows if row[-1] == least}
    order = draw(known, len(known), seed)
    found: list[Seen] = []
    with ThreadPoolExecutor(settings.inspect_threads) as pool:
        for first in range(0, len(order), wanted):
            some = [known[content] for content in order[first : first + wanted]]
            there = pool.map(lambda one: _is_there(s3, one), some)
            found += [one for one, is_there in zip(some, there, strict=True) if is_there]
            if len(found) >= wanted:
                break
    if not found:
        raise ShadowError(
            f"{champion or 'the base model'} has answered no image that is still there to compare with"
        )
    return least, found[:wanted]


def _is_there(s3: Any, one: Seen) -> bool:
    """Whether it still is the image that was answered."""
    now = s3_objects.look_up(s3, one.source_ref)
    return now is not None and one.etag in {None, s3_objects.etag_of(now)}


_COLUMNS = ("content", "source_ref", "etag", "size_bytes", "load_id", "manifest_id", "line_number")

_ANSWERED = f"""
SELECT {SUBJECT_SQL} AS content, source_ref, etag, size_bytes, load_id, manifest_id, line_number,
    min_confidence
FROM images WHERE status = 'moderated' AND adapter IS NOT DISTINCT FROM $champion
QUALIFY row_number() OVER (
    PARTITION BY content ORDER BY moderated_at DESC NULLS LAST, load_id DESC, source_ref
) = 1
"""  # noqa: S608 - names of ours
