"""What people decided reaches every warehouse whole, and the views say the same in each."""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from pyarrow import parquet

from moderation import stages
from moderation.publish.standing import open_standing
from moderation.reference.content import subject_id
from moderation.review.state.open import open_state
from moderation.review.verdict import ALLOWED, ERASED, Said, Subject, Verdict
from moderation.settings import Settings
from moderation.tables.standing import VERDICTS
from moderation.warehouses.base import Warehouse
from moderation.warehouses.duckdb import DuckDBWarehouse
from moderation.warehouses.folder import FolderMirror
from moderation.warehouses.postgres import PostgresWarehouse
from moderation.warehouses.views import verdict_views
from support.published_loads import publish_odd, publish_plain
from support.verdict_rows import START, verdict_row, verdict_table

PATHS = [("Violence",), ("Violence", "Weapons"), ("Violence", "Graphic Violence")]
PATHS += [("Violence", "Graphic Violence", "Weapon Violence"), ("Explicit",)]


def verdicts(count: int) -> list[dict[str, Any]]:
    """Seeded words of three people about the six images of a plain load, some taken back."""
    draw = random.Random(7)
    rows = []
    for number in range(count):
        subject = draw.choice([Subject.LABEL, Subject.LABEL, Subject.LABEL, Subject.IMAGE])
        said = draw.choice(sorted(ALLOWED[subject]))
        path = draw.choice(PATHS) if subject == Subject.LABEL else ()
        image = draw.randrange(6)
        rows.append(
            verdict_row(
                number,
                decided_at=START + timedelta(minutes=draw.randrange(50)),
                reviewer=draw.choice(["ana", "ben", "cem"]),
                content=subject_id(f"s3://archive/plain/{image}.jpg", "e1", 1001 + image),
                subject=str(subject),
                label=path[-1] if path else None,
                level=len(path) or None,
                **dict(zip(("l1", "l2", "l3"), [*path, None, None, None], strict=False)),
                verdict=str(said),
                replaces=f"v{draw.randrange(number + 1)}" if said == Said.WITHDRAWN else None,
                purpose=draw.choice([None, None, None, "dispute"]),
                note="ü 'quoted', \"twice\"\n",
            )
        )
    return rows


@pytest.fixture
def published(local_settings: Settings, s3_client: Any) -> Settings:
    load_ids = [publish_odd(local_settings, s3_client), publish_plain(local_settings, s3_client, "plain")]
    with open_standing(local_settings, VERDICTS) as table:
        table.append(verdict_table(verdicts(60)), key="verdict_id")
    for load_id in load_ids:
        DuckDBWarehouse(local_settings).load(load_id)
    return local_settings


def in_duckdb(settings: Settings, name: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(settings.warehouse_path), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return sorted(connection.execute(f'SELECT * FROM "{name}"').fetchall(), key=repr)


@pytest.mark.slow
def test_every_view_says_the_same_in_postgresql_as_in_duckdb_and_loading_again_changes_nothing(
    published: Settings, postgres_uri: str
) -> None:
    warehouses: list[Warehouse] = [
        DuckDBWarehouse(published),
        PostgresWarehouse(published, postgres_uri),
        FolderMirror(published),
    ]
    with psycopg.connect(postgres_uri) as connection:
        (known,) = connection.execute(
            "SELECT count(*) FROM pg_views WHERE schemaname = 'moderation'"
        ).fetchone()
    assert known == 0
    for load in in_duckdb(published, "loads"):
        warehouses[1].load(load[0])
    for _ in range(2):
        counts = {"verdicts": 60, "review_numbers": 0, "shadow_answers": 0, "adapters": 0, "gone": 0}
        assert [warehouse.load_standing() for warehouse in warehouses] == [counts] * 3
    with psycopg.connect(postgres_uri) as connection:
        connection.execute("SET TIME ZONE 'UTC'")
        for name in (VERDICTS.name, *verdict_views.VIEWS):
            rows = sorted(connection.execute(f'SELECT * FROM moderation."{name}"').fetchall(), key=repr)
            assert rows, name
            assert [tuple(map(str, row)) for row in rows] == [
                tuple(map(str, row)) for row in in_duckdb(published, name)
            ], name
    place = verdict_views.COLUMNS["labels_verified"].index("truth")
    assert {"present", "absent", None} <= {row[place] for row in in_duckdb(published, "labels_verified")}
    assert published.parquet_mirror is not None
    assert parquet.read_table(published.parquet_mirror / "verdicts").num_rows == 60


@pytest.mark.slow
def test_what_was_erased_is_a_count_in_every_warehouse_that_had_it(
    local_settings: Settings, postgres_uri: str, tmp_path: Path
) -> None:
    warehouses: list[Warehouse] = [
        DuckDBWarehouse(local_settings),
        PostgresWarehouse(local_settings, postgres_uri),
        FolderMirror(local_settings),
    ]
    seen = {"load_id": "20261122T020000Z-4f1c0a9b77de", "manifest_id": "m", "line_number": 4, "item_id": "i"}
    state = open_state(str(tmp_path / "review.db"))
    state.log.append([Verdict.from_row(verdict_row(number, note="who", **seen)) for number in (1, 2)])
    for _ in range(2):
        stages.publish_verdicts(state, settings=local_settings)
        for warehouse in warehouses:
            assert warehouse.load_standing()["verdicts"] == 2
        state.log.erase(contents=["c1"])
    state.close()

    names = ", ".join(("verdict_id", "verdict", *ERASED))
    with psycopg.connect(postgres_uri) as postgres:
        query = f"SELECT {names} FROM moderation.verdicts ORDER BY verdict_id"
        found = [postgres.execute(query).fetchall()]
    with duckdb.connect(str(local_settings.warehouse_path), read_only=True) as connection:
        mirror = f"'{local_settings.parquet_mirror}/verdicts/*.parquet'"
        found += [
            connection.execute(f"SELECT {names} FROM {place} ORDER BY verdict_id").fetchall()
            for place in ("verdicts", mirror)
        ]
    for gone, kept in found:
        assert gone == ("v1", "present", *[None] * len(ERASED))
        assert kept[:3] == ("v2", "present", "c2")
        assert "who" in kept
