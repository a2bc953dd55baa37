"""The answers that a load's copies get: spooled as they come, then joined to them, whatever their number.

A copy gets what lies in the content: an answer, or a refusal for good. What may pass, or lies in rights and
places, says nothing of the copy, which is owed then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from moderation import schema
from moderation.errors import NeedsAPersonError
from moderation.flatten.flatten import Counts, Flattened
from moderation.flatten.rows import LoadContext, table_of
from moderation.plan.content.answers import IMAGE_ANSWERS, LABEL_ANSWERS, OF_LABELS
from moderation.plan.plan import COPIES, INPUTS_SCHEMA
from moderation.reference import content, error_codes
from moderation.storage import parquet
from moderation.storage.row_file import PORTION_ROWS, RowFile
from moderation.tables.ledger.layout import ANSWER_OF, OF_IMAGES
from moderation.warehouses.reading import bounded

_INPUT = (
    "source_ref", "bucket", "key", "etag", "size", "last_modified", "line_number", "origin",
    "transcoded_from",
)  # fmt: skip

_SHARED = (
    f"(answers.status = '{schema.MODERATED}' OR answers.status = '{schema.FAILED}' AND answers.error_code IN "
    f"({', '.join(repr(code) for code in sorted(error_codes.OF_CONTENT))}))"
)

_OF_THE_REQUEST = ("model_version", "adapter", "min_confidence", "base_model_version")

_OWED = {
    "status": f"'{schema.NOT_ATTEMPTED}'",
    "error_code": f"'{error_codes.SAME_CONTENT_OWED}'",
    "error_message": (
        "concat('The image sent for its content, line ', answers.answer_of_line, ' of ', "
        "answers.answer_of_manifest_id, ', has no answer: ', coalesce(answers.error_code, answers.status))"
    ),
    "label_count": "0",
    "unknown_labels": "0",
    **{name: f"answers.{name}" for name in _OF_THE_REQUEST},
}
"""What stands of the answer in the row of a copy that is owed; null where nothing does."""

_SAME = " AND ".join(f"copies.{name} = answers.{name}" for name in ANSWER_OF)
_OF_WHICH = ", ".join(
    f"CASE WHEN answers.status IS NULL OR {_SHARED} THEN copies.{name} END AS {name}" for name in ANSWER_OF
)
_GIVEN = ", ".join(
    f"CASE WHEN {_SHARED} THEN answers.{name} ELSE {_OWED.get(name, 'NULL')} END AS {name}"
    for name in OF_IMAGES
)
_IMAGES = f"""
SELECT {", ".join(f"copies.{name}" for name in _INPUT)}, answers.status IS NULL AS is_missing,
    {_OF_WHICH}, {_GIVEN}
FROM copies LEFT JOIN answers ON {_SAME} ORDER BY copies.line_number
"""  # noqa: S608 - names of ours

_LABELS = f"""
SELECT copies.source_ref, copies.line_number, {", ".join(f"answers.{name}" for name in OF_LABELS)}
FROM copies JOIN labels AS answers ON {_SAME} WHERE answers.level = ? AND answers.content_type = ?
ORDER BY copies.line_number, answers.place
"""  # noqa: S608 - as above


class AnswerMissingError(NeedsAPersonError, ValueError):
    """A copy names an answer that is not there; the message names the copy."""


class Copies:
    """Collects a load's copies and the answers that they get; use as a context manager.

    :param folder: an empty one on a disk with room for them.
    """

    def __init__(self, context: LoadContext, folder: Path) -> None:
        self._context = context
        self._answers = RowFile(folder / "answers.arrow", IMAGE_ANSWERS)
        self._labels = RowFile(folder / "labels.arrow", LABEL_ANSWERS)
        self._copies = RowFile(folder / "copies.arrow", INPUTS_SCHEMA)
        self._superseded = 0
        self._open = ExitStack()

    def __enter__(self) -> Copies:
        for file in (self._answers, self._labels, self._copies):
            self._open.enter_context(file.writing())
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def add_answers(self, images: pa.Table, labels: Mapping[tuple[int, str], pa.Table]) -> None:
        """Take rows of this load's own images that have copies, and their labels."""
        self._answers.write(image_answers(images))
        for rows in label_answers(labels, first=self._labels.rows):
            self._labels.write(rows)

    def add_known(self, answers: Path, labels: Path) -> None:
        """Take answers of earlier loads, as a plan keeps them."""
        for path, into in ((answers, self._answers), (labels, self._labels)):
            with parquet.open_file(path) as file:
                for batch in file.iter_batches(PORTION_ROWS):
                    into.write(_as(into.schema, pa.Table.from_batches([batch]), {}))

    def add(self, inputs: pa.Table, superseded: pa.Array | None) -> None:
        """Take copies.

        :param inputs: `plan.plan.INPUTS_SCHEMA`.
        :param superseded: as for `flatten.flatten.flatten_manifest`.
        """
        kept = inputs if superseded is None else inputs.filter(pc.invert(superseded))
        self._superseded += len(inputs) - len(kept)
        self._copies.write(kept)

    def rows(self) -> Iterator[Flattened]:
        """The rows of all copies, in their order; once, and last.

        :raises AnswerMissingError: a copy's answer was not among those taken.
        """
        self._open.close()
        if self._superseded:
            counts = Counts(images=self._superseded, superseded=self._superseded)
            yield Flattened(images=table_of(schema.IMAGES, {}, 0), counts=counts)
        if self._copies.rows:
            with duckdb.connect() as connection, bounded(connection):
                yield from self._images(connection)
                yield from self._label_rows(connection)

    def _images(self, connection: duckdb.DuckDBPyConnection) -> Iterator[Flattened]:
        _offer(connection, copies=self._copies, answers=self._answers)
        for rows in _tables(connection.sql(_IMAGES)):
            missing = rows.filter(rows["is_missing"])
            if len(missing):
                row = missing.slice(0, 1).to_pylist()[0]
                raise AnswerMissingError(
                    f"the copy {row['source_ref']} is to get the answer of line {row['answer_of_line']} of "
                    f"{row['answer_of_manifest_id']} of load {row['answer_of_load_id']}, which is not there; "
                    "plan the run again"
                )
            columns = {name: rows[name] for name in (*_INPUT, *ANSWER_OF, *OF_IMAGES)}
            columns |= self._same(len(rows)) | {"size_bytes": rows["size"]}
            made = table_of(schema.IMAGES, columns, len(rows))
            status = pc.value_counts(rows["status"].combine_chunks()).to_pylist()
            counted = {entry["values"]: entry["counts"] for entry in status}
            yield Flattened(images=made, counts=Counts(images=len(rows), **counted))

    def _label_rows(self, connection: duckdb.DuckDBPyConnection) -> Iterator[Flattened]:
        nothing = table_of(schema.IMAGES, {}, 0)
        for level, spec in schema.LABELS.items():
            for content_type in schema.CONTENT_TYPES:
                _offer(connection, copies=self._copies, labels=self._labels)
                for rows in _tables(connection.sql(_LABELS, params=[level, content_type])):
                    columns = {name: rows[name] for name in rows.column_names} | self._same(len(rows))
                    made = table_of(spec, columns, len(rows))
                    yield Flattened(images=nothing, labels={(level, content_type): made})

    def _same(self, size: int) -> dict[str, pa.Array]:
        """The columns that are the same in every row."""
        return {
            "load_id": pa.repeat(pa.scalar(self._context.load_id), size),
            "dt": pa.repeat(pa.scalar(self._context.dt, pa.date32()), size),
            "manifest_id": pa.repeat(pa.scalar(COPIES), size),
        }


def image_answers(images: pa.Table) -> pa.Table:
    """`answers.IMAGE_ANSWERS` of rows of `schema.IMAGES` that were analysed."""
    return _as(IMAGE_ANSWERS, images, _key(images))


def label_answers(labels: Mapping[tuple[int, str], pa.Table], *, first: int = 0) -> Iterator[pa.Table]:
    """`answers.LABEL_ANSWERS` of their labels, by level and content type.

    :param first: the place of the first of them.
    """
    for (level, _), rows in sorted(labels.items()):
        more = {
            "level": pa.array(np.full(len(rows), level, dtype=np.int8)),
            "place": pa.array(np.arange(first, first + len(rows))),
        }
        yield _as(LABEL_ANSWERS, rows, _key(rows) | more)
        first += len(rows)


def _key(rows: pa.Table) -> dict[str, pa.Array]:
    return dict(zip(ANSWER_OF, (rows["load_id"], rows["manifest_id"], rows["line_number"]), strict=True))


def count_contents(files: Sequence[Path]) -> int:
    """How many different contents these files of `images` hold; what nothing proves counts as its own."""
    if not files:
        return 0
    with duckdb.connect() as connection, bounded(connection):
        rows = connection.read_parquet([str(path) for path in files])
        counted = f"count(DISTINCT {content.SQL}) + count(*) - count({content.SQL})"
        ((found,),) = rows.aggregate(counted).fetchall()
    return int(found)


def _as(wanted: pa.Schema, rows: pa.Table, more: Mapping[str, pa.Array]) -> pa.Table:
    """The rows in these columns; text of few values becomes plain, and what is not there null."""
    size, present = len(rows), set(rows.schema.names)
    columns = [
        more[field.name]
        if field.name in more
        else rows[field.name]
        if field.name in present
        else pa.nulls(size, field.type)
        for field in wanted
    ]
    return pa.table(columns, names=wanted.names).cast(wanted)


def _offer(connection: duckdb.DuckDBPyConnection, **files: RowFile) -> None:
    """Let the next query read the files under these names, once."""
    for name, file in files.items():
        connection.register(name, pa.RecordBatchReader.from_batches(file.schema, file.batches()))


def _tables(relation: duckdb.DuckDBPyRelation) -> Iterator[pa.Table]:
    with relation.to_arrow_reader(PORTION_ROWS) as reader:
        for batch in reader:
            if batch.num_rows:
                yield pa.Table.from_batches([batch])
