"""Answers that earlier loads have published, found by content, and copied for the plan that goes by them.

They are copied, not pointed to: what becomes of the earlier load afterwards (compacted, rolled back, erased)
changes nothing for the plan, and each try to publish it gives the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import Catalog

from moderation.plan import ledger
from moderation.plan.content.answers import IMAGE_ANSWERS, LABEL_ANSWERS, OF_LABELS
from moderation.plan.ledger import Question
from moderation.reference import content, error_codes
from moderation.schema import IMAGES, LABELS, MODERATED, TableSpec, physical_schema
from moderation.settings import Settings
from moderation.storage.duckdb_stream import streamed
from moderation.storage.row_file import PORTION_ROWS
from moderation.tables.catalog import load_table, open_catalog
from moderation.tables.ledger.contents import stream_answers
from moderation.tables.ledger.layout import ANSWER_OF, CONTENT_COLUMNS, OF_IMAGES, PLACE
from moderation.tables.ledger.orders import bits_of
from moderation.tables.published import scan

_SAME = " AND ".join(f"known_labels.{name} = known.{name}" for name in ANSWER_OF)

_FOUND = f"""
CREATE TABLE found AS
SELECT * EXCLUDE (etag, size_bytes), {content.SQL} AS content FROM published
WHERE content IN (SELECT content FROM listed)
"""  # noqa: S608 - names of ours

_COUNTED = f"""
CREATE TABLE answered AS
SELECT DISTINCT {content.SQL} AS content FROM published WHERE content IN (SELECT content FROM listed)
"""  # noqa: S608 - names of ours

# The newest answer; of one load an own one rather than a copy of it, and then the first.
_CHOSEN = f"""
CREATE TABLE known AS
SELECT content, load_id, manifest_id, line_number, dt,
    coalesce(answer_of_load_id, load_id) AS answer_of_load_id,
    coalesce(answer_of_manifest_id, manifest_id) AS answer_of_manifest_id,
    coalesce(answer_of_line, line_number) AS answer_of_line, {", ".join(OF_IMAGES)}
FROM found
QUALIFY row_number() OVER (
    PARTITION BY content ORDER BY status = '{MODERATED}' DESC, load_id DESC,
    answer_of_load_id IS NOT NULL, manifest_id, line_number
) = 1
"""  # noqa: S608 - as above

_NO_ANSWERS = """
CREATE TABLE known (content VARCHAR, answer_of_load_id VARCHAR, answer_of_manifest_id VARCHAR,
    answer_of_line BIGINT)
"""

_LABELS = f"""
CREATE TABLE known_labels AS
SELECT known.{", known.".join(ANSWER_OF)}, given.* EXCLUDE ({", ".join(PLACE)})
FROM given JOIN known USING ({", ".join(PLACE)})
"""  # noqa: S608 - as above

# Between the two reads of the tables a load may be rolled back: what is not whole is no answer.
_WHOLE = f"""
DELETE FROM known WHERE label_count <> (
    SELECT count(*) FROM known_labels WHERE {_SAME}
)
"""  # noqa: S608 - as above


def find(connection: duckdb.DuckDBPyConnection, settings: Settings, question: Question | None) -> int:
    """Make the tables ``known`` and ``known_labels`` of answers to the contents of the table ``listed``.

    :param connection: to a database with ``listed (content)``.
    :param question: an answer must cover it; that images may keep answers of older adapters counts for
        nothing here. None to know nothing.
    :returns: how many contents are known.
    """
    if question is None or not connection.execute("SELECT 1 FROM listed LIMIT 1").fetchall():
        connection.execute(_NO_ANSWERS)
        return 0
    with open_catalog(settings) as catalog:
        rows = stream_answers(settings, catalog, _bits(connection))
        answers = _answers(rows, replace(question, older_share=None))
        _offer(connection, "published", _schema(IMAGES, CONTENT_COLUMNS), answers, _FOUND)
        connection.execute(_CHOSEN)
        connection.execute("DROP TABLE found")
        _find_labels(connection, catalog)
    connection.execute(_WHOLE)
    ((known,),) = connection.execute("SELECT count(*) FROM known").fetchall()
    return int(known)


def count(connection: duckdb.DuckDBPyConnection, settings: Settings, question: Question) -> int:
    """How many contents of the table ``listed`` earlier loads have answered.

    :param connection: as for :func:`find`, likewise the question.
    """
    if not connection.execute("SELECT 1 FROM listed LIMIT 1").fetchall():
        return 0
    with open_catalog(settings) as catalog:
        rows = stream_answers(settings, catalog, _bits(connection))
        answers = _answers(rows, replace(question, older_share=None))
        _offer(connection, "published", _schema(IMAGES, CONTENT_COLUMNS), answers, _COUNTED)
    ((found,),) = connection.execute("SELECT count(*) FROM answered").fetchall()
    connection.execute("DROP TABLE answered")
    return int(found)


def image_answers(connection: duckdb.DuckDBPyConnection) -> Iterator[pa.Table]:
    """The answers found, `answers.IMAGE_ANSWERS`."""
    names, key = ", ".join(IMAGE_ANSWERS.names), ", ".join(ANSWER_OF)
    yield from _tables(connection, f"SELECT {names} FROM known ORDER BY {key}", IMAGE_ANSWERS)  # noqa: S608 - names of ours


def label_answers(connection: duckdb.DuckDBPyConnection) -> Iterator[pa.Table]:
    """Their labels, `answers.LABEL_ANSWERS`."""
    names, key = ", ".join(LABEL_ANSWERS.names), ", ".join(ANSWER_OF)
    query = f"SELECT {names} FROM known_labels SEMI JOIN known USING ({key}) ORDER BY {key}, level, place"  # noqa: S608 - as above
    yield from _tables(connection, query, LABEL_ANSWERS)


def _tables(connection: duckdb.DuckDBPyConnection, query: str, schema: pa.Schema) -> Iterator[pa.Table]:
    with connection.sql(query).to_arrow_reader(PORTION_ROWS) as reader:
        for batch in reader:
            yield pa.Table.from_batches([batch]).cast(schema)


def _bits(connection: duckdb.DuckDBPyConnection) -> np.ndarray:
    with connection.sql("SELECT DISTINCT content FROM listed").to_arrow_reader(PORTION_ROWS) as reader:
        return np.unique(np.concatenate([bits_of(batch.column(0)) for batch in reader]))


def _answers(published: Iterator[pa.RecordBatch], question: Question) -> Iterator[pa.RecordBatch]:
    """Those of the rows that cover the question, or are refused for their content."""
    of_content = pa.array(sorted(error_codes.OF_CONTENT), pa.string())
    for batch in published:
        rows = pa.Table.from_batches([batch])
        moderated, refused = ledger.settles(rows, question)
        refused = pc.and_(refused, pc.is_in(rows["error_code"], value_set=of_content))
        sent = pc.is_valid(rows["manifest_id"])
        yield from rows.filter(pc.and_(sent, pc.or_(moderated, refused))).to_batches()


def _find_labels(connection: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    rows = connection.execute("SELECT DISTINCT load_id, dt FROM known WHERE label_count > 0").fetchall()
    loads = {load_id for load_id, _ in rows}
    days = " or ".join(f"dt = '{day}'" for day in sorted({day for _, day in rows}))
    schema = pa.schema(
        [*_schema(IMAGES, PLACE), *(field for field in LABEL_ANSWERS if field.name not in ANSWER_OF)]
    )
    given = _given(catalog, loads, days, schema) if loads else iter(())
    _offer(connection, "given", schema, given, _LABELS)


def _given(catalog: Catalog, loads: set[str], days: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The labels of the loads, numbered in the order in which they stand."""
    place = 0
    for level, spec in LABELS.items():
        there = [name for name in (*PLACE, *OF_LABELS) if name in spec.schema.names]
        for batch in scan(load_table(catalog, spec), spec, there, load_ids=loads, where=days):
            size = batch.num_rows
            made = {
                "level": pa.array(np.full(size, level, dtype=np.int8)),
                "place": pa.array(np.arange(place, place + size)),
            }
            columns = made | {name: batch.column(name) for name in there}
            yield pa.RecordBatch.from_arrays(
                [columns.get(field.name, pa.nulls(size, field.type)) for field in schema], schema=schema
            )
            place += size


def _offer(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    schema: pa.Schema,
    batches: Iterator[pa.RecordBatch],
    statement: str,
) -> None:
    """Run a statement that reads the batches once."""
    with streamed(connection, name, schema, batches):
        connection.execute(statement)


def _schema(spec: TableSpec, names: tuple[str, ...]) -> pa.Schema:
    return pa.schema([physical_schema(spec).field(name) for name in names])
