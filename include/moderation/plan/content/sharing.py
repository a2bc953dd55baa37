"""Which image of a content is sent, and which get its answer.

Which of several is sent changes from plan to plan: one that cannot be read would keep the others waiting for
ever if it were always the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from moderation.plan.content import known
from moderation.plan.content.answers import IMAGE_ANSWERS, LABEL_ANSWERS
from moderation.plan.ledger import Question
from moderation.plan.plan import INPUTS_SCHEMA, ManifestRef
from moderation.reference import content
from moderation.settings import Settings
from moderation.sources.listing import SCHEMA
from moderation.storage.row_file import PORTION_ROWS, RowFile
from moderation.tables.ledger.layout import ANSWER_OF
from moderation.warehouses.reading import bounded

_SENT = SCHEMA.append(pa.field("copies", pa.int64()))
_FATES = pa.schema(
    [
        ("row", pa.int64()),
        ("copies", pa.int64()),
        ("rank", pa.int64()),
        *(INPUTS_SCHEMA.field(name) for name in ANSWER_OF),
    ]
)
"""What becomes of a row of the listing: it has copies, or is one: of the row that is sent as the ``rank``-th,
from 0, or of a known answer."""
_COPIES = pa.schema([*SCHEMA, *list(_FATES)[2:]])

_LISTED = f"""
CREATE TABLE listed AS
SELECT row, content, md5_number(concat($1, source_ref)) AS turn
FROM (SELECT row, source_ref, {content.BOTH_SQL} AS content FROM accepted) WHERE content IS NOT NULL
"""  # noqa: S608 - names of ours

_CHOSEN = """
CREATE TABLE chosen AS SELECT content, arg_min(row, turn) AS row, count(*) AS images
FROM listed ANTI JOIN known USING (content) GROUP BY content HAVING count(*) > 1
"""

_COPIED = f"""
CREATE TABLE copied AS
SELECT listed.row, chosen.row AS answer, NULL AS {", NULL AS ".join(ANSWER_OF)}
FROM listed JOIN chosen USING (content) WHERE listed.row <> chosen.row
UNION ALL
SELECT listed.row, NULL, known.{", known.".join(ANSWER_OF)} FROM listed JOIN known USING (content)
"""  # noqa: S608 - as above

# Of the rows before the one that is sent, the copies are not.
_EACH = f"""
SELECT row, NULL::BIGINT AS copies, answer - coalesce(place, 0) AS rank, {", ".join(ANSWER_OF)}
FROM copied ASOF LEFT JOIN (
    SELECT row AS earlier, row_number() OVER (ORDER BY row) AS place FROM copied
) ON answer >= earlier
UNION ALL SELECT row, images - 1, NULL, NULL, NULL, NULL FROM chosen
ORDER BY row
"""  # noqa: S608 - as above


@dataclass
class Sharing:
    """The images that can be sent, parted.

    :ivar sent: one of each content, rows of `sources.listing.SCHEMA` with ``copies``: how many get its
        answer.
    :ivar copies: the others.
    :ivar known: the answers of earlier loads that some of these get, `answers.IMAGE_ANSWERS`.
    :ivar known_labels: their labels, `answers.LABEL_ANSWERS`.
    """

    sent: RowFile
    copies: RowFile
    known: RowFile
    known_labels: RowFile
    _folder: Path = field(repr=False, default=Path())

    def included(self, manifests: Sequence[ManifestRef], load_id: str) -> RowFile:
        """The copies whose answers there will be, `plan.INPUTS_SCHEMA`; without the postponed.

        :param manifests: what is sent.
        :param load_id: of the plan.
        """
        lines = [manifest.lines for manifest in manifests]
        names = pa.array([manifest.manifest_id for manifest in manifests], pa.string())
        included = RowFile(self._folder / "included.arrow", INPUTS_SCHEMA)
        with included.writing():
            for portion in self.copies.portions():
                included.write(_with_lines(portion, lines, names, load_id))
        self.copies.delete()
        return included


def share(
    accepted: RowFile, folder: Path, settings: Settings, *, question: Question | None, seed: str
) -> Sharing:
    """Part the images that can be sent into those that are and those that get the answers of others.

    :param accepted: rows of `sources.listing.SCHEMA` in order of ``source_ref``; deleted.
    :param folder: on a disk with room for the listing again.
    :param question: what answers of earlier loads must cover; None to look for none.
    :param seed: by which one of several is chosen.
    :raises TablesError: the published tables cannot be read.
    """
    made = Sharing(
        RowFile(folder / "sent.arrow", _SENT),
        RowFile(folder / "copies.arrow", _COPIES),
        RowFile(folder / "known.arrow", IMAGE_ANSWERS),
        RowFile(folder / "known-labels.arrow", LABEL_ANSWERS),
        folder,
    )
    with duckdb.connect() as connection, bounded(connection):
        # The streams that are joined have no length, and may be the greatest: never what is kept in memory.
        connection.execute("SET disabled_optimizers = 'build_side_probe_side'")
        connection.register("accepted", _numbered(accepted))
        connection.execute(_LISTED, [seed])
        connection.unregister("accepted")
        found = known.find(connection, settings, question)
        for table, rows in ((made.known, known.image_answers), (made.known_labels, known.label_answers)):
            with table.writing():
                for some in rows(connection) if found else ():
                    table.write(some)
        connection.execute(_CHOSEN)
        connection.execute(_COPIED)
        with connection.sql(_EACH).to_arrow_reader(PORTION_ROWS) as fates:
            _part(accepted, _Fates(fates), made)
    accepted.delete()
    return made


def _numbered(accepted: RowFile) -> pa.RecordBatchReader:
    names = ("source_ref", "etag", "size")
    schema = pa.schema([("row", pa.int64()), *(SCHEMA.field(name) for name in names)])

    def batches() -> Iterator[pa.RecordBatch]:
        start = 0
        for batch in accepted.batches():
            number = pa.array(np.arange(start, start + batch.num_rows))
            columns = [number, *(batch.column(name) for name in names)]
            yield pa.RecordBatch.from_arrays(columns, schema=schema)
            start += batch.num_rows

    return pa.RecordBatchReader.from_batches(schema, batches())


class _Fates:
    """Takes rows of `_FATES` from a stream in ascending order of ``row``."""

    def __init__(self, stream: pa.RecordBatchReader) -> None:
        self._stream, self._held = stream, _FATES.empty_table()

    def before(self, end: int) -> pa.Table:
        """Those of rows before this one that were not taken yet."""
        while not len(self._held) or self._held["row"][-1].as_py() < end:
            batch = next(self._stream, None)
            if batch is None:
                break
            self._held = pa.concat_tables([self._held, pa.Table.from_batches([batch]).cast(_FATES)])
        count = int(np.searchsorted(self._held["row"].to_numpy(), end))
        taken, self._held = self._held.slice(0, count), self._held.slice(count)
        return taken


def _part(accepted: RowFile, fates: _Fates, made: Sharing) -> None:
    start = 0
    with made.sent.writing(), made.copies.writing():
        for portion in accepted.portions():
            fate = fates.before(start + len(portion))
            place = fate["row"].to_numpy() - start
            has_copies = fate["copies"].is_valid().to_numpy()
            copied = place[~has_copies]
            copies = np.zeros(len(portion), dtype=np.int64)
            copies[place[has_copies]] = fate["copies"].drop_null().to_numpy()
            sent = np.ones(len(portion), dtype=bool)
            sent[copied] = False
            number = pa.array(copies, mask=copies == 0)
            made.sent.write(portion.append_column("copies", number).filter(pa.array(sent)))
            rows = portion.take(pa.array(copied))
            of = fate.filter(pa.array(~has_copies)).select(_COPIES.names[len(SCHEMA) :])
            made.copies.write(pa.Table.from_arrays([*rows.columns, *of.columns], schema=_COPIES))
            start += len(portion)


def _with_lines(portion: pa.Table, lines: list[int], names: pa.Array, load_id: str) -> pa.Table:
    """Copies with the manifest and line of the image that is sent for them."""
    ends = np.cumsum(lines, dtype=np.int64)
    rank = portion["rank"].fill_null(-1).to_numpy()
    there = rank < sum(lines)
    portion, rank = portion.filter(pa.array(there)), rank[there]
    is_sent = rank >= 0
    manifest = np.searchsorted(ends, np.maximum(rank, 0), side="right")
    line = rank - np.concatenate([[0], ends])[manifest] + 1
    mask = pa.array(is_sent)
    columns = {name: portion[name] for name in SCHEMA.names} | {
        "answer_of_load_id": pc.if_else(mask, pa.scalar(load_id), portion["answer_of_load_id"]),
        "answer_of_manifest_id": pc.if_else(
            mask, names.take(pa.array(manifest, mask=~is_sent)), portion["answer_of_manifest_id"]
        ),
        "answer_of_line": pc.if_else(mask, pa.array(line), portion["answer_of_line"]),
    }
    return pa.table(
        [columns.get(field.name, pa.nulls(len(portion), field.type)) for field in INPUTS_SCHEMA],
        schema=INPUTS_SCHEMA,
    )
