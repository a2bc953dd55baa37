"""What came out of a load, counted from the published tables: as data, and as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, field
from typing import Any

import duckdb
import pyarrow as pa
from pyiceberg.catalog import Catalog

from moderation.policy.thresholds import Thresholds, in_use
from moderation.reference import error_codes
from moderation.schema import ANOMALIES, IMAGES, LABELS, TableSpec, physical_schema
from moderation.settings import Settings
from moderation.storage.duckdb_stream import streamed
from moderation.storage.files import absolute
from moderation.tables.catalog import load_table, open_catalog
from moderation.tables.published import published_load, scan
from moderation.warehouses.reading import bounded
from moderation.warehouses.views.in_use import condition

_SEEN = """
CREATE TEMP TABLE seen AS
SELECT status, error_code, content_type, FLAGGED AS flagged, model_version,
    count(*) AS images,
    min(coalesce(origin, source_ref)) AS example,
    arg_min(error_message, coalesce(origin, source_ref)) AS message
FROM images GROUP BY ALL
"""
_IMAGE_COLUMNS = (
    *("source_ref", "status", "error_code", "error_message", "content_type", "max_confidence", "origin"),
    "model_version",
)
_LABEL_COLUMNS = ("source_ref", "l1", "l2", "l3")


@dataclass(frozen=True, kw_only=True)
class LabelCount:
    """Images that have a label at or below a path.

    :param path: from L1 down; "(unknown)" where the taxonomy could not tell an ancestor.
    """

    path: tuple[str, ...]
    images: int


@dataclass(frozen=True, kw_only=True)
class FailureCount:
    """Images that are not moderated, for one reason.

    :param example: one of them, the first by name; its path or key as the person knows it.
    """

    status: str
    code: str
    images: int
    example: str
    message: str | None
    remedy: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """A load in numbers.

    :param load: its row of `loads`.
    :param flagged: moderated images with at least one label that counts.
    :param labels: every path that occurs, each right after its parent, the most frequent first.
    :param content_types: moderated images by content type.
    :param failures: the most frequent first.
    :param parquet_mirror: folder with a local copy of the Parquet files, if one is kept.
    :param page: the load's report page, if one is written.
    :param anomalies: answers that fit no input, by kind.
    :param models: answers by model version, the most frequent first.
    :param thresholds: from where on a label counts in ``flagged`` and ``labels``.
    """

    load: dict[str, Any]
    flagged: int
    labels: tuple[LabelCount, ...]
    content_types: dict[str, int]
    failures: tuple[FailureCount, ...]
    anomalies: dict[str, int]
    tables_uri: str
    warehouse: str
    parquet_mirror: str | None = None
    page: str | None = None
    models: dict[str | None, int] = field(default_factory=dict)
    thresholds: Thresholds = field(default_factory=Thresholds)

    @property
    def is_complete(self) -> bool:
        """True when every image of the load is accounted for and none is still owed."""
        counted = self.load["moderated"] + self.load["failed"] + self.load["not_attempted"]
        return counted == self.load["images"] and self.load["not_attempted"] == 0

    def as_data(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return asdict(self)


def build_report(settings: Settings, load_id: str) -> Report:
    """Count a published load.

    :raises WarehouseError: there is no such published load.
    """
    thresholds = in_use()
    with open_catalog(settings) as catalog, duckdb.connect() as connection, bounded(connection):
        load = published_load(catalog, load_id)
        flagged = f"coalesce(max_confidence >= {thresholds.default or 0.0!r}, FALSE)"
        with _offered(connection, catalog, load, IMAGES, _IMAGE_COLUMNS):
            connection.execute(_SEEN.replace("FLAGGED", flagged))
        content_types = connection.execute(
            "SELECT content_type, sum(images)::BIGINT FROM seen WHERE status = 'moderated' "
            "GROUP BY 1 ORDER BY 2 DESC, 1"
        ).fetchall()
        models = connection.execute(
            "SELECT model_version, sum(images)::BIGINT FROM seen WHERE status = 'moderated' "
            "GROUP BY 1 ORDER BY 2 DESC, 1"
        ).fetchall()
        labels = _count_labels(connection, catalog, load, thresholds)
        of_one_threshold = "SELECT coalesce(sum(images) FILTER (flagged), 0) FROM seen"
        of_several = "SELECT count(DISTINCT image) FROM found"
        return Report(
            load=load,
            thresholds=thresholds,
            models=dict(models),
            flagged=_one(connection, of_several if thresholds.labels else of_one_threshold),
            labels=labels,
            content_types=dict(content_types),
            failures=_count_failures(connection),
            anomalies=_count_anomalies(connection, catalog, load),
            tables_uri=absolute(settings.tables_uri),
            warehouse=str(settings.warehouse_path),
            parquet_mirror=str(settings.parquet_mirror) if settings.parquet_mirror else None,
        )


def _offered(
    connection: duckdb.DuckDBPyConnection,
    catalog: Catalog,
    load: dict[str, Any],
    table: TableSpec,
    columns: Sequence[str],
) -> AbstractContextManager[None]:
    """Let SQL read columns of the load's rows once, as a stream under the table's name."""
    where = f"dt = '{load['dt'].isoformat()}' and load_id = '{load['load_id']}'"
    batches = scan(load_table(catalog, table), table, columns, load_ids={load["load_id"]}, where=where)
    schema = pa.schema([physical_schema(table).field(name) for name in columns])
    return streamed(connection, table.name, schema, batches)


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    (value,) = connection.execute(query).fetchone() or (0,)
    return int(value)


def _count_labels(
    connection: duckdb.DuckDBPyConnection, catalog: Catalog, load: dict[str, Any], thresholds: Thresholds
) -> tuple[LabelCount, ...]:
    selects = []
    met = condition(thresholds)
    with ExitStack() as streams:
        for level, table in LABELS.items():
            columns = _LABEL_COLUMNS[: level + 1]
            read = (*columns, *(("name", "confidence") if met else ()))
            streams.enter_context(_offered(connection, catalog, load, table, read))
            names = [*columns[1:], *("NULL" for _ in range(3 - level))]
            known = [f"coalesce({name}, '(unknown)')" if name != "NULL" else name for name in names]
            selects.append(f"SELECT source_ref, {', '.join(known)} FROM {table.name} WHERE {met or 'true'}")  # noqa: S608 - names of ours
        # A digest of the name is a third of its size.
        connection.execute(
            "CREATE TEMP TABLE found AS SELECT DISTINCT md5_number(source_ref) AS image, l1, l2, l3 FROM ("  # noqa: S608 - names of ours
            + " UNION ALL ".join(selects)
            + ") AS rows(source_ref, l1, l2, l3)"
        )
    rows = connection.execute(
        " UNION ALL ".join(
            f"SELECT {path}, count(*) FROM (SELECT DISTINCT image, {path} FROM found"  # noqa: S608 - names of ours
            f" WHERE {last} IS NOT NULL) GROUP BY ALL"
            for path, last in (
                ("l1, NULL AS l2, NULL AS l3", "l1"),
                ("l1, l2, NULL AS l3", "l2"),
                ("l1, l2, l3", "l3"),
            )
        )
    ).fetchall()
    counts = {tuple(name for name in path if name is not None): images for *path, images in rows}

    def order(path: tuple[str, ...]) -> list[tuple[int, str]]:
        return [(-counts[path[: depth + 1]], path[depth]) for depth in range(len(path))]

    return tuple(LabelCount(path=path, images=counts[path]) for path in sorted(counts, key=order))


def _count_failures(connection: duckdb.DuckDBPyConnection) -> tuple[FailureCount, ...]:
    rows = connection.execute(
        "SELECT status, error_code, sum(images)::BIGINT, min(example), arg_min(message, example) FROM seen "
        "WHERE status <> 'moderated' GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"
    ).fetchall()
    return tuple(
        FailureCount(
            status=status,
            code=code,
            images=images,
            example=example,
            message=message,
            remedy=error_codes.remedy(code),
        )
        for status, code, images, example, message in rows
    )


def _count_anomalies(
    connection: duckdb.DuckDBPyConnection, catalog: Catalog, load: dict[str, Any]
) -> dict[str, int]:
    with _offered(connection, catalog, load, ANOMALIES, ("kind",)):
        rows = connection.execute("SELECT kind, count(*) FROM anomalies GROUP BY 1 ORDER BY 2 DESC, 1")
        return dict(rows.fetchall())
