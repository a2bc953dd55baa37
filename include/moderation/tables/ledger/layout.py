"""Which files the ledger has and which loads they hold: one sealed object, replaced under a condition.

::

    {work_uri}/ledger/tables-<digest of the tables' URI>/index.json      decides
                                                         <name>.parquet  part of a run

A run is sorted by ``source_ref``, or by content, and cut into parts, so that one part of a listing reads one
part of a run.
"""

from __future__ import annotations

import hashlib
import logging
import uuid
from dataclasses import asdict, dataclass, replace
from typing import Any

from moderation.errors import NeedsAPersonError
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.storage.files import absolute
from moderation.storage.state import parse_state, seal

COLUMNS = ("source_ref", "etag", "status", "error_code", "model_version", "adapter", "min_confidence")
"""What of a published row tells whether its image is asked about again."""

PLACE = ("load_id", "manifest_id", "line_number")
"""Which row it is."""

ANSWER_OF = ("answer_of_load_id", "answer_of_manifest_id", "answer_of_line")
"""Load, manifest and line of the image that the answer was paid for."""

OF_IMAGES = (
    *("status", "error_code", "error_message", "content_type", "illustrated_confidence"),
    *(
        "animated_confidence",
        "label_count",
        "top_l1",
        "max_confidence",
        "backend",
        "model_version",
        "adapter",
    ),
    *("job_id", "moderated_at", "min_confidence", "content_types_answered", "other_content_types"),
    "unknown_labels",
    "base_model_version",
)
"""The columns of `images` that the answer decides."""

CONTENT = "etag"
CONTENT_COLUMNS = (*PLACE, "dt", CONTENT, "size_bytes", *ANSWER_OF, *OF_IMAGES)
"""What of a published row is kept by content; in order of the ETag, which there is an MD5."""

_FORMAT = 2
_log = logging.getLogger(__name__)


class LedgerDamagedError(NeedsAPersonError):
    """A file of the ledger is missing or not what was written."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """A Parquet file of entries in order of their key.

    :param first: the smallest key by the bytes of its UTF-8.
    :param last: the greatest.
    :param digest: what its footer says of itself and all columns: SHA-256, hex.
    :param bits: of contents: the file of their first bits, in the same order.
    """

    name: str
    rows: int
    bytes: int
    first: str
    last: str
    digest: str
    bits: Part | None = None

    @property
    def files(self) -> tuple[Part, ...]:
        """The files that it consists of."""
        return (self,) if self.bits is None else (self, self.bits)


Run = tuple[Part, ...]


@dataclass(frozen=True)
class Index:
    """The ledger as it is named now.

    :param loads: published loads whose rows are all in the runs.
    :param runs: each sorted by name in itself; an entry is in one of them.
    :param contents: the same rows by content, in runs of their own.
    :param written: rows that were ever written for it, merges included, and thereby what merging costs.
    :param etag: of the object; "" when there is none.
    """

    loads: frozenset[str] = frozenset()
    runs: tuple[Run, ...] = ()
    written: int = 0
    etag: str = ""
    contents: tuple[Run, ...] = ()

    @property
    def entries(self) -> int:
        """How many entries the runs have."""
        return sum(map(rows_in, self.runs))

    @property
    def bytes(self) -> int:
        """How many bytes the runs have in S3."""
        return sum(file.bytes for file in self.files)

    @property
    def files(self) -> list[Part]:
        """All its files but the index."""
        return [file for run in (*self.runs, *self.contents) for part in run for file in part.files]


def rows_in(run: Run) -> int:
    """How many entries the run has."""
    return sum(part.rows for part in run)


def part_uri(settings: Settings, name: str) -> str:
    """Where the part lies; "" is the folder of all, ending with a slash."""
    tables = hashlib.sha256(absolute(settings.tables_uri).encode()).hexdigest()[:12]
    return s3_objects.join_uri(settings.work_uri, "ledger", f"tables-{tables}", name)


def new_name() -> str:
    """A name that no other part has."""
    return f"{uuid.uuid4().hex}.parquet"


def read_index(s3: Any, settings: Settings) -> Index:
    """The ledger of the settings' tables; one without loads when there is none that can be used.

    :raises S3Error: S3 cannot be read.
    """
    stored = s3_objects.find(s3, _index_uri(settings))
    if stored is None:
        return Index()
    try:
        found = parse_state(
            stored.body,
            _index_uri(settings),
            parse=lambda content: _parse(content, settings),
            error=LedgerDamagedError,
            remedy="it is made anew from the tables",
        )
    except LedgerDamagedError as error:
        _log.warning("%s", error)
        return Index(etag=stored.etag)
    return replace(found, etag=stored.etag)


def write_index(s3: Any, settings: Settings, index: Index) -> bool:
    """Name these files instead of the ones of ``index.etag``; False when another was first."""
    content = {
        "format": _FORMAT,
        "tables": absolute(settings.tables_uri),
        "loads": sorted(index.loads),
        "written": index.written,
        "columns": [*COLUMNS, *CONTENT_COLUMNS],
        "runs": [[asdict(part) for part in run] for run in index.runs],
        "contents": [[asdict(part) for part in run] for run in index.contents],
    }
    uri = _index_uri(settings)
    if index.etag:
        return s3_objects.put_if_match(s3, uri, seal(content), etag=index.etag) is not None
    return s3_objects.put_if_absent(s3, uri, seal(content)) is not None


def discard(s3: Any, settings: Settings) -> None:
    """Forget the ledger; its files go with the next cleaning, and readers take the tables meanwhile.

    :raises S3Error: S3 refuses.
    """
    s3_objects.delete(s3, _index_uri(settings))


def _parse(content: dict[str, Any], settings: Settings) -> Index:
    if content["format"] != _FORMAT:
        raise ValueError(f"its format is {content['format']!r}, and this release knows {_FORMAT}")
    if content["tables"] != absolute(settings.tables_uri):
        raise ValueError(f"it is of the tables at {content['tables']!r}")
    if content["columns"] != [*COLUMNS, *CONTENT_COLUMNS]:
        raise ValueError("it has other columns than this release goes by")
    runs, contents = (tuple(tuple(map(_part, run)) for run in content[of]) for of in ("runs", "contents"))
    return Index(frozenset(map(str, content["loads"])), runs, int(content["written"]), contents=contents)


def _part(told: dict[str, Any]) -> Part:
    bits = told["bits"]
    return Part(**told | {"bits": None if bits is None else _part(bits)})


def _index_uri(settings: Settings) -> str:
    return part_uri(settings, "index.json")
