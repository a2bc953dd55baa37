"""Small published loads with everything in them that a reader or a warehouse could get wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from moderation.publish.commit import publish
from moderation.schema import TABLES, physical_schema
from moderation.settings import Settings
from moderation.tables.catalog import open_catalog
from moderation.tables.published import loads_in
from moderation.warehouses.load_files import read_load
from support.planned_runs import Run, answer, content_types, label, line, weapon_violence

# Keys as people make them; S3 takes them all.
ODD_KEYS = (
    "plain.jpg",
    "with space, comma and \"quotes\" and 'single'.jpg",
    "100%25/50%.jpg",
    "dt=2020-01-01/content_type=none/a.jpg",
    "back\\slash\\N.jpg",
    "\u00fcml\u00e4ut-\u65e5\u672c-\U0001f600.jpg",
    "line\nbreak\ttab\rreturn.jpg",
    "e\u0301 combining.jpg",
    "NULL",
    "\\.",
)

# Doubles that lose a bit in every format but the shortest exact one, and the ends of the range.
CONFIDENCES = (99.86129760742188, 0.1 + 0.2, 5e-324, 100.0, 50.00000000000001, 72.7257, 1 / 3, 0.0)


def publish_odd(settings: Settings, s3_client: Any, name: str = "odd") -> str:
    """A load of the odd keys, of every content type, with labels of all levels, failures and an anomaly."""
    run = Run(settings, s3_client, name=name)
    refs = [f"s3://archive/{name}/{key}" for key in ODD_KEYS]
    kinds = [{}, {"Illustrated": 60.5}, {"Animated": 72.7257}, {"Illustrated": 51.0, "Animated": 1 / 3}]
    bodies = [
        answer(
            [
                *weapon_violence(CONFIDENCES[number % len(CONFIDENCES)]),
                label("Weird, \"label\" \\ 'x'", "", 1, 77.7),
            ],
            ContentTypes=content_types(**kinds[number % len(kinds)]),
        )
        for number in range(len(refs) - 2)
    ]
    results = [line(ref, body) for ref, body in zip(refs, bodies, strict=False)]
    results.append(line("s3://archive/nobody-asked.jpg", answer()))
    failure = {"source-ref": refs[-1], "code": "ImageTooLarge", "message": "16 MB,\n\"too\" 'large' \\."}
    origins = {ref: f"/home/anna/{name}/{key}" for ref, key in zip(refs, ODD_KEYS, strict=True)}
    del origins[refs[0]]
    run.manifest(refs, b"\n".join(results), summary={"errors": [failure]}, origins=origins)
    run.reject([f"s3://archive/{name}/" + "k" * 1100], "KeyTooLong")
    return publish(settings, run.store(), run.records).load_id


def publish_plain(settings: Settings, s3_client: Any, name: str, *, images: int = 6) -> str:
    """A load of images that each have one chain of labels."""
    run = Run(settings, s3_client, name=name)
    refs = [f"s3://archive/{name}/{number}.jpg" for number in range(images)]
    run.manifest(refs, b"\n".join(line(ref, answer(weapon_violence(60.0 + n))) for n, ref in enumerate(refs)))
    return publish(settings, run.store(), run.records).load_id


def expected(settings: Settings) -> dict[str, pa.Table]:
    """Every table's published rows, read by pyiceberg's files and pyarrow alone."""
    with open_catalog(settings) as catalog:
        loads = loads_in(catalog).to_pylist()

        def batches(name: str) -> Iterator[pa.RecordBatch]:
            for load in loads:
                yield from read_load(catalog, TABLES[name], load)

        return {
            name: pa.Table.from_batches(list(batches(name)), physical_schema(table))
            for name, table in TABLES.items()
        }


def rows(table: pa.Table) -> list[tuple[Any, ...]]:
    """Rows in an order of their own, to compare as a multiset; doubles bit for bit."""
    columns = [
        [value.hex() if isinstance(value, float) else value for value in column.to_pylist()]
        for column in table.columns
    ]
    return sorted(zip(*columns, strict=True), key=repr)
