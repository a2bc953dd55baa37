"""A DuckDB file with two loads small enough to count by hand.

`ROWS` is the story: who was moderated when, with which labels. Expected answers in tests are worked out
from it on paper, never by the code under test.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa

from moderation.policy.thresholds import Thresholds
from moderation.reference.content import subject_id
from moderation.schema import physical_schema
from moderation.tables.standing import ALL_TABLES
from moderation.warehouses.duckdb import labels_view, verdicts_views
from moderation.warehouses.views import in_use
from support.verdict_rows import verdict_row

ADAPTER = "arn:aws:rekognition:us-east-1:123456789012:project/cards/version/set-1/1700000000000"
FIRST_LOAD = "20261116T020000Z-aaaaaaaaaaaa"
SECOND_LOAD = "20261123T020000Z-bbbbbbbbbbbb"
DAYS = {FIRST_LOAD: date(2026, 11, 16), SECOND_LOAD: date(2026, 11, 23)}  # both Mondays

Row = dict[str, Any]


def write(path: Path, tables: dict[str, list[Row]]) -> Path:
    """A DuckDB file with every table of the schema, holding ``tables``' rows; missing columns are empty."""
    with duckdb.connect(str(path)) as connection:
        for name, table in ALL_TABLES.items():
            schema = physical_schema(table)
            rows = [_complete(row, schema) for row in tables.get(name, [])]
            connection.register("incoming", pa.Table.from_pylist(rows, schema=schema))
            connection.execute(f'CREATE TABLE "{name}" AS SELECT * FROM incoming')
            connection.unregister("incoming")
        counted = in_use.views(Thresholds(), in_use.Dialect()).values()
        for statement in (labels_view(), *verdicts_views(), *counted):
            connection.execute(statement)
    return path


def _complete(row: Row, schema: pa.Schema) -> Row:
    empty = {pa.int64(): 0, pa.int32(): 0, pa.float64(): 0.0, pa.bool_(): False, pa.string(): ""}
    blanks = {field.name: None if field.nullable else empty.get(field.type) for field in schema}
    unknown = row.keys() - blanks.keys()
    assert not unknown, f"not in the schema: {unknown}"
    return blanks | row


def image(
    load_id: str,
    line: int,
    name: str,
    *,
    status: str = "moderated",
    content_type: str | None = "none",
    labels: Iterable[Row] = (),
    **columns: Any,
) -> Row:
    """One row of `images`; its counts follow from ``labels``, rows as :func:`label` makes them."""
    labels = list(labels)
    moderated = status == "moderated"
    row: Row = {
        "load_id": load_id,
        "dt": DAYS[load_id],
        "source_ref": f"s3://archive/{name}",
        "status": status,
        "content_type": content_type if moderated else None,
        "label_count": len(labels),
        "top_l1": labels[0].get("l1") if labels else None,
        "max_confidence": max((label["confidence"] for label in labels), default=None),
        "moderated_at": datetime.combine(DAYS[load_id], time(3), tzinfo=UTC) if moderated else None,
        "model_version": "7.0",
        "manifest_id": "m00001-000000000000",
        "line_number": line,
    }
    return row | columns


def label(level: int, path: str, confidence: float, **columns: Any) -> Row:
    """A label with its path ``L1 > L2 > L3``; :func:`tables` turns ``level`` into the table."""
    names = path.split(" > ")
    row: Row = {"level": level, "name": names[-1], "confidence": confidence, "model_version": "7.0"}
    for number, part in enumerate(names, 1):
        row[f"l{number}"] = row[f"v7_l{number}"] = part
    return row | columns


def chain(path: str, confidence: float) -> list[Row]:
    """The label at the end of ``path`` and all its ancestors, as an untrimmed answer lists them."""
    names = path.split(" > ")
    return [label(n, " > ".join(names[:n]), confidence) for n in range(len(names), 0, -1)]


def tables(images: list[tuple[Row, list[Row]]]) -> dict[str, list[Row]]:
    """`images` and the label tables from images and their labels."""
    result: dict[str, list[Row]] = {"images": [], "labels_l1": [], "labels_l2": [], "labels_l3": []}
    for row, labels in images:
        result["images"].append(row)
        for found in labels:
            place = {key: row[key] for key in ("load_id", "dt", "content_type", "source_ref", "manifest_id")}
            place["line_number"] = row["line_number"]
            values = {key: value for key, value in found.items() if key != "level"}
            result[f"labels_l{found['level']}"].append(place | values)
    return result


def _moderated(
    load_id: str, line: int, name: str, labels: list[Row], **columns: Any
) -> tuple[Row, list[Row]]:
    return image(load_id, line, name, labels=labels, **columns), labels


def _other(load_id: str, line: int, name: str, status: str, code: str) -> tuple[Row, list[Row]]:
    row = image(load_id, line, name, status=status, error_code=code, error_message=f"{code} in words.")
    return row, []


_SIX_ONE = {"model_version": "6.1"}

STORY = [
    _moderated(FIRST_LOAD, 1, "a1.jpg", chain("Violence > Graphic Violence > Weapon Violence", 99.0)),
    _moderated(FIRST_LOAD, 2, "a2.jpg", [], content_type="animated"),
    _moderated(  # trimmed: the L2 alone
        FIRST_LOAD, 3, "a3.jpg", [label(2, "Violence > Weapons", 85.0, path_derived=True)]
    ),
    _moderated(
        FIRST_LOAD,
        4,
        "a4.jpg",
        chain("Explicit > Explicit Nudity > Exposed Buttocks or Anus", 95.0)
        + chain("Violence > Weapons", 60.0),
    ),
    _other(FIRST_LOAD, 5, "a5.webp", "failed", "InvalidImageFormat"),
    _other(FIRST_LOAD, 6, "a6.jpg", "not_attempted", "Throttling"),
    _other(FIRST_LOAD, 7, "a7.jpg", "not_attempted", "Throttling"),  # answered in the second load
    _other(FIRST_LOAD, 8, "a8.jpg", "failed", "AccessDenied"),  # answered in the second load
    _moderated(SECOND_LOAD, 1, "a1.jpg", []),  # moderated again: nothing found any more
    _moderated(  # model 6.1, whose second level is the third of 7.0
        SECOND_LOAD,
        2,
        "a7.jpg",
        [
            label(2, "Suggestive > Barechested Male", 72.0, **_SIX_ONE)
            | {
                "v7_l1": "Non-Explicit Nudity of Intimate parts and Kissing",
                "v7_l2": "Non-Explicit Nudity",
                "v7_l3": "Exposed Male Nipple",
            },
            label(1, "Suggestive", 72.0, **_SIX_ONE) | {"v7_l1": None, "v7_ambiguous": True},
        ],
        content_type="illustrated",
        **_SIX_ONE,
    ),
    _moderated(
        SECOND_LOAD,
        3,
        "a8.jpg",
        [label(1, "Not In The Taxonomy", 100.0, unknown_label=True) | {"l1": None, "v7_l1": None}],
        content_type="animated",
    ),
    _moderated(  # one label listed twice
        SECOND_LOAD,
        4,
        "b1.jpg",
        [
            *chain("Violence > Graphic Violence > Weapon Violence", 52.5),
            label(3, "Violence > Graphic Violence > Weapon Violence", 52.5),
        ],
        content_type="illustrated_animated",
        adapter=ADAPTER,
    ),
    _other(SECOND_LOAD, 5, "b2.jpg", "failed", "ImageTooLarge"),
]

LOADS = [
    {
        "load_id": FIRST_LOAD,
        "dt": DAYS[FIRST_LOAD],
        "run_key": "moderate-1",
        "source": "s3://archive/",
        "published_at": datetime(2026, 11, 16, 4, tzinfo=UTC),
        "model_version": "7.0",
        "listed": 8,
        "images": 8,
        "moderated": 4,
        "failed": 2,
        "not_attempted": 2,
        "billed": 5,
        "cost_usd": 0.005,
        "manifests": 1,
    },
    {
        "load_id": SECOND_LOAD,
        "dt": DAYS[SECOND_LOAD],
        "run_key": "moderate-2",
        "source": "s3://archive/",
        "published_at": datetime(2026, 11, 23, 4, tzinfo=UTC),
        "model_version": "7.0",
        "listed": 6,
        "images": 5,
        "moderated": 4,
        "failed": 1,
        "not_attempted": 0,
        "billed": 4,
        "cost_usd": 0.0032,
        "manifests": 1,
    },
]


def _said(number: int, name: str, reviewer: str, label_path: str, verdict: str) -> Row:
    ref = f"s3://archive/{name}"
    names = label_path.split(" > ") if label_path else []
    levels = dict(zip(("l1", "l2", "l3"), [*names, None, None, None], strict=False))
    return verdict_row(
        number,
        reviewer=reviewer,
        content=subject_id(ref, None, None),
        source_ref=ref,
        subject="label" if names else "image",
        label=names[-1] if names else None,
        level=len(names) or None,
        verdict=verdict,
        **levels,
    )


VERDICTS = [  # all on one Sunday
    _said(1, "a1.jpg", "ana", "Violence > Graphic Violence > Weapon Violence", "absent"),
    _said(2, "a1.jpg", "ben", "Violence > Graphic Violence > Weapon Violence", "skipped"),
    _said(3, "a2.jpg", "ana", "", "nothing"),
    _said(4, "a3.jpg", "ben", "Violence > Weapons", "present"),
]


ADAPTERS = [
    {
        "dt": DAYS[FIRST_LOAD],
        "adapter": ADAPTER,
        "version_name": "set-1",
        "project": "cards",
        "labels": "Gambling|Violence",
        "state": "in use",
        "base_model_version": "7.0",
        "training_set": "1" * 64,
        "gate": "passes",
        "became_right": 21,
        "became_wrong": 1,
        "promoted_at": datetime.combine(DAYS[FIRST_LOAD], time(9), tzinfo=UTC),
        "promoted_by": "ana",
    },
]


GONE = [
    {
        "dt": DAYS[SECOND_LOAD],
        "source_ref": f"s3://archive/{name}",
        "gone_at": datetime.combine(DAYS[SECOND_LOAD], time(2), tzinfo=UTC),
        "source": "s3://archive",
    }
    for name in ("a1.jpg", "a5.webp")
]


def small(path: Path) -> Path:
    """The story above as a DuckDB file; a process makes it once and copies it from then on."""
    path.write_bytes(_small())
    return path


@cache
def _small() -> bytes:
    with TemporaryDirectory() as folder:
        rows = {**tables(STORY), "loads": LOADS, "verdicts": VERDICTS, "adapters": ADAPTERS, "gone": GONE}
        return write(Path(folder) / "warehouse.duckdb", rows).read_bytes()
