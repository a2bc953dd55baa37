"""What an archive holds, counted from its listing alone: nothing is uploaded, read or asked."""

from __future__ import annotations

from collections import Counter
from contextlib import closing, nullcontext
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from moderation.plan import ledger
from moderation.plan.content import known as answers
from moderation.plan.discovery import discover, leave_out
from moderation.plan.ledger import PublishedReader, Question
from moderation.reference import content
from moderation.settings import Settings
from moderation.sources.base import Source
from moderation.storage import scratch
from moderation.storage.memory import give_back_freed_memory

_NOTE = f"INSERT INTO contents SELECT etag::UUID, size_bytes FROM portion WHERE ({content.SQL}) IS NOT NULL"  # noqa: S608 - constants
"""A content is an MD5 and a size: 24 bytes, a third of what they take as text. What has none is counted by
itself, for a listing has each image once."""


_PARTS = 8
_DISTINCT = f"""
SELECT count(*) FROM (SELECT DISTINCT md5, size FROM contents WHERE hash(md5) % {_PARTS} = ?)
"""  # noqa: S608 - constants
_ASKED_AT_ONCE = 1_000_000
"""Contents that are looked up in one go, by their first digits: so each reads a part of the history."""

_LISTED = """
CREATE TEMP TABLE listed AS
SELECT DISTINCT replace(md5::VARCHAR, '-', '') || '-' || size AS content FROM contents
WHERE md5 >= ?::UUID AND md5 <= ?::UUID
"""
_MEMORY = "32MB"
"""What counting contents may take beside the listing: part by part it needs no more; the rest is on disk."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Counts of images; ``listed`` is the sum of the next five.

    :param no_images: by the rule that left them out.
    :param already_moderated: published with an answer to this question.
    :param refused_before: refused for good before and unchanged, by code.
    :param cannot_be_sent: by code, as far as the size tells; formats are known when they are read.
    :param to_analyse: the rest.
    :param contents: of these, how many differ by content; an image whose ETag is no digest counts by itself.
    :param known: of the contents, how many earlier loads have answered under other keys; these cost nothing.
    :param size_bytes: of what is to be analysed; None where the source tells no sizes.
    """

    source: str
    listed: int
    no_images: dict[str, int]
    already_moderated: int
    refused_before: dict[str, int]
    cannot_be_sent: dict[str, int]
    to_analyse: int
    contents: int
    size_bytes: int | None
    known: int = 0


def survey(
    settings: Settings, s3: Any, source: Source, *, question: Question, published: PublishedReader | None
) -> Survey:
    """List a source and count.

    Memory holds a portion of the listing; the local disk holds it whole.

    :param published: gives the rows of all published loads; None counts them again.
    :raises SourceError: the source cannot be read; s3.S3Error: S3 cannot.
    """
    with scratch.folder(None, "plan") as folder:
        found = discover(
            settings,
            s3,
            source,
            question=question,
            published=None,
            inspect=False,
            dry_run=True,
            folder=folder,
        )
        give_back_freed_memory()
        codes: Counter[str] = Counter()
        images, size, sized = 0, 0, True
        limits: dict[str, Any] = {
            "memory_limit": _MEMORY,
            "threads": 1,
            "temp_directory": str(folder),
        }
        with (
            closing(duckdb.connect(str(folder / "contents.duckdb"), config=limits)) as contents,
            ledger.begun(published, settings) if published else nullcontext() as begun,
        ):
            contents.execute("CREATE TABLE contents (md5 UUID, size BIGINT)")
            alone = 0
            for portion in found.rows.portions():
                rows = portion
                if begun is not None:
                    rows = found.without_published(rows, settings, begun, question)
                refused = pc.drop_null(rows["error_code"])
                codes += Counter(
                    {row["values"]: row["counts"] for row in pc.value_counts(refused).to_pylist()}
                )
                rows = leave_out(rows, pc.is_valid(rows["error_code"]))
                images += rows.num_rows
                size += pc.sum(rows["size"]).as_py() or 0
                sized = sized and rows["size"].null_count == 0
                alone += _note(contents, rows)
            distinct = sum(_count(contents, part) for part in range(_PARTS))
            known = 0
            if published and settings.share_answers:
                known = _count_known(contents, settings, question, distinct)
        return Survey(
            source=source.uri,
            listed=found.listed,
            no_images=dict(found.by_rule.most_common()),
            already_moderated=found.already_moderated,
            refused_before=dict(found.refused_before.most_common()),
            cannot_be_sent=dict(codes.most_common()),
            to_analyse=images,
            contents=distinct + alone,
            size_bytes=size if sized else None,
            known=known,
        )


def _count_known(
    connection: duckdb.DuckDBPyConnection, settings: Settings, question: Question, contents: int
) -> int:
    """How many of the contents that were noted earlier loads have answered."""
    found, parts = 0, -(-contents // _ASKED_AT_ONCE)
    for part in range(parts):
        first, last = (1 << 128) * part // parts, (1 << 128) * (part + 1) // parts - 1
        connection.execute(_LISTED, [f"{first:032x}", f"{last:032x}"])
        found += answers.count(connection, settings, question)
        connection.execute("DROP TABLE listed")
    return found


def _count(connection: duckdb.DuckDBPyConnection, part: int) -> int:
    (contents,) = connection.execute(_DISTINCT, [part]).fetchone() or (0,)
    return int(contents)


def _note(connection: duckdb.DuckDBPyConnection, rows: pa.Table) -> int:
    """Note the contents of a portion; returns how many images have none that a listing tells."""
    connection.register("portion", rows.select(["etag", "size"]).rename_columns(["etag", "size_bytes"]))
    (noted,) = connection.execute(_NOTE).fetchone() or (0,)
    connection.unregister("portion")
    return int(rows.num_rows - noted)
