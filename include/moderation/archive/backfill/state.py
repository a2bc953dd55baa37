"""What is kept of an archive: one sealed file in S3, changed only by whoever saw what it was."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from moderation.archive.backfill.names import DAG_ID, RUN_PREFIX
from moderation.errors import NeedsAPersonError, TransientError
from moderation.plan.plan import run_key
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.storage.state import parse_state, seal

WAITING, ASKED, RUNNING, DONE, PARKED = "waiting", "asked", "running", "done", "parked"
GOES_ON, PAUSED, STOPPED, ENDED = "running", "paused", "stopped", "ended"
ORDERS = ("newest", "prefix", "given")
LARGEST_CHUNK = 2_560_000
"""Images; as many as 256 manifests hold."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_TRIES = 8


class ArchiveError(NeedsAPersonError, ValueError):
    """An archive is not there, or cannot be what it is asked to be; the text has the remedy."""


class ArchiveBusyError(TransientError):
    """Others changed the archive again and again meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How an archive is worked off.

    :param order: ``newest`` first, by ``prefix`` (in order of bucket and key), or as ``given`` by the source.
    :param chunk_images: images a chunk.
    :param day_usd: US dollars a day that its chunks may cost; None for no limit. ``month_usd`` likewise.
    :param time_zone: where days and months begin, as ``Europe/Vienna``.
    :param tries: a chunk that failed as often is parked.
    :param inspect: read the header of each object before it is sent.
    :raises ArchiveError: one is out of its range; the text names it.
    """

    order: str = "newest"
    chunk_images: int = 1_000_000
    day_usd: float | None = None
    month_usd: float | None = None
    time_zone: str = "UTC"
    tries: int = 3
    min_confidence: float | None = None
    adapter: str | None = None
    backend: str = "auto"
    inspect: bool = True

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise ArchiveError(f"order={self.order!r}: expected one of {', '.join(ORDERS)}")
        if not 1 <= self.chunk_images <= LARGEST_CHUNK:
            raise ArchiveError(f"chunk_images={self.chunk_images}: expected 1 to {LARGEST_CHUNK:,}")
        if self.tries < 1:
            raise ArchiveError(f"tries={self.tries}: expected a number above 0")
        for name in ("day_usd", "month_usd"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ArchiveError(f"{name}={value}: expected US dollars above 0, or none")
        self.zone()

    def zone(self) -> ZoneInfo:
        """The time zone."""
        try:
            return ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ArchiveError(f"time_zone={self.time_zone!r}: expected a name as Europe/Vienna") from error


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """A part of an archive that one run works off.

    :param uri: of its list of objects; ``images`` of them, from the key ``first`` to ``last``.
    :param tries: how often its run was asked for.
    :param asked_at: when last, as ISO text; ``asked_by`` by which run of the conductor.
    :param codes: images without answer by error code; "" for those not attempted.
    :param gone: no longer at the source when its run came to them; ``changed``: of other content by then.
    :param billed: images that its loads were billed for, as published.
    :param reason: why its run failed last, as far as it was said.
    """

    number: int
    uri: str
    images: int
    first: str
    last: str
    status: str = WAITING
    tries: int = 0
    asked_at: str = ""
    asked_by: str = ""
    ended_at: str = ""
    began_at: str = ""
    answered: int = 0
    before: int = 0
    codes: dict[str, int] = field(default_factory=dict)
    gone: int = 0
    changed: int = 0
    billed: int = 0
    cost_usd: float = 0.0
    reason: str = ""

    @property
    def is_under_way(self) -> bool:
        """Whether its run was asked for and has not ended."""
        return self.status in (ASKED, RUNNING)


@dataclass(frozen=True, kw_only=True)
class Archive:
    """An archive and its chunks.

    :param status: ``running``, ``paused``, ``stopped`` or ``ended``.
    :param paused_until: ISO text; "" for as long as nobody resumes it.
    :param left_out: objects that are no images, by rule.
    :param waits: why the conductor begins no chunk of it at present; "" when nothing speaks against it.
    :param result: see `outcome.Reconciliation`; empty before.
    :param orders: what people asked of it lately, the last one last: ``at``, ``person``, ``what``.
    :param cleaned_at: since when its lists of keys are removed, as ISO text; no chunk can be begun then.
    """

    name: str
    source: str
    options: Options
    status: str = GOES_ON
    paused_until: str = ""
    created_at: str = ""
    listed: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    chunks: tuple[Chunk, ...] = ()
    waits: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    orders: tuple[dict[str, str], ...] = ()
    cleaned_at: str = ""

    def run_id(self, chunk: Chunk) -> str:
        """Of the one run that works a chunk off, however often it is asked for."""
        return f"{RUN_PREFIX}{self.name}__{chunk.number:05d}"

    def run_key(self, chunk: Chunk) -> str:
        """As it stands in `loads`."""
        return run_key(DAG_ID, self.run_id(chunk))

    def with_chunk(self, chunk: Chunk) -> Self:
        """The archive with a chunk in the place of the one of its number."""
        return replace(
            self, chunks=tuple(chunk if old.number == chunk.number else old for old in self.chunks)
        )

    @property
    def images(self) -> int:
        """In all chunks."""
        return sum(chunk.images for chunk in self.chunks)

    def to_json(self) -> bytes:
        """The sealed file."""
        return seal(asdict(self))

    @classmethod
    def from_json(cls, body: bytes, uri: str) -> Archive:
        """Read the file.

        :raises ArchiveError: it is damaged.
        """

        def parse(content: dict[str, Any]) -> Archive:
            options = Options(**_known(Options, content["options"]))
            chunks = tuple(Chunk(**_known(Chunk, chunk)) for chunk in content["chunks"])
            if folder_name(uri) != content["name"]:
                raise ValueError(f"it is of the archive {content['name']!r}")
            if not all(chunk.uri.startswith(uri.rpartition("/")[0] + "/") for chunk in chunks):
                raise ValueError("its chunks lie elsewhere")
            orders = tuple(content.get("orders", ()))
            return cls(**(_known(cls, content) | {"options": options, "chunks": chunks, "orders": orders}))

        remedy = (
            "delete it and start the archive again under the same name: "
            "what is answered is not asked again, and its runs go on where they were"
        )
        return parse_state(body, uri, parse=parse, error=ArchiveError, remedy=remedy)


def check_name(name: str) -> str:
    """The name, if an archive may have it.

    :raises ArchiveError: it may not.
    """
    if not _NAME.fullmatch(name):
        raise ArchiveError(f"archive {name!r}: a name has 1 to 40 of a-z 0-9 -, and begins with no -")
    return name


def folder_uri(settings: Settings, name: str) -> str:
    """Where everything of an archive is."""
    return s3_objects.join_uri(settings.work_uri, "archives", check_name(name))


def folder_name(uri: str) -> str:
    """The name of the folder that a file is in."""
    return uri.rpartition("/")[0].rpartition("/")[2]


def state_uri(settings: Settings, name: str) -> str:
    """Where an archive's file is."""
    return f"{folder_uri(settings, name)}/archive.json"


def create(settings: Settings, s3: Any, archive: Archive) -> bool:
    """Write an archive that is not there yet; False when there is one of this name."""
    return s3_objects.put_if_absent(s3, state_uri(settings, archive.name), archive.to_json()) is not None


def read(settings: Settings, s3: Any, name: str) -> Archive:
    """The archive.

    :raises ArchiveError: there is none, or its file is damaged.
    """
    return _read(settings, s3, name)[0]


def read_all(settings: Settings, s3: Any) -> tuple[list[Archive], dict[str, ArchiveError]]:
    """Every archive in order of its name, and what is wrong with those that are damaged."""
    archives: list[Archive] = []
    damaged: dict[str, ArchiveError] = {}
    for name in names(settings, s3):
        try:
            archives.append(read(settings, s3, name))
        except ArchiveError as error:
            damaged[name] = error
    return archives, damaged


def names(settings: Settings, s3: Any) -> list[str]:
    """Of all archives, in order."""
    bucket, prefix = s3_objects.split_uri(s3_objects.join_uri(settings.work_uri, "archives"))
    found = [
        entry["Prefix"].removesuffix("/").rpartition("/")[2]
        for page in s3_objects.list_pages(s3, bucket, f"{prefix}/", delimiter="/")
        for entry in page.get("CommonPrefixes", ())
    ]
    return sorted(name for name in found if _NAME.fullmatch(name) and exists(settings, s3, name))


def exists(settings: Settings, s3: Any, name: str) -> bool:
    """Whether there is an archive of this name; one that is still being cut is none."""
    return s3_objects.exists(s3, state_uri(settings, name))


def change(settings: Settings, s3: Any, name: str, how: Callable[[Archive], Archive]) -> Archive:
    """Put what ``how`` makes of an archive in its place, whatever others make of it meanwhile.

    :param how: is asked again when others were quicker; what it raises is raised.
    :raises ArchiveError: as of :func:`read`.
    :raises ArchiveBusyError: others were quicker each time.
    """
    for _ in range(_TRIES):
        found, etag = _read(settings, s3, name)
        wanted = how(found)
        body = wanted.to_json()
        if wanted == found or s3_objects.put_if_match(s3, state_uri(settings, name), body, etag=etag):
            return wanted
    raise ArchiveBusyError(f"the archive {name} was changed by others meanwhile, {_TRIES} times; try again")


def _read(settings: Settings, s3: Any, name: str) -> tuple[Archive, str]:
    uri = state_uri(settings, name)
    stored = s3_objects.find(s3, uri)
    if stored is None:
        if next(iter(s3_objects.list_objects(s3, f"{folder_uri(settings, name)}/")), None):
            raise ArchiveError(
                f"{uri} is not there, though chunks of it are: it is being cut, or was lost; then start the "
                "archive again under the same name: what is answered is not asked again"
            )
        known = ", ".join(names(settings, s3)) or "none"
        raise ArchiveError(f"there is no archive {name!r}; there are: {known}")
    return Archive.from_json(stored.body, uri), stored.etag


def _known(kind: Any, content: dict[str, Any]) -> dict[str, Any]:
    """What this release knows of a file that a later one wrote."""
    return {entry.name: content[entry.name] for entry in fields(kind) if entry.name in content}


def moment(text: str) -> datetime | None:
    """The time that a text of the state says."""
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
