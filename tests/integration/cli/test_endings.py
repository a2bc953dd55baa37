"""Every command, every fault around it: one line that says what to do, and the exit code of its kind."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest

from local_aws import ports
from local_aws.seaweedfs import Credentials, SeaweedFS
from moderation.cli import detect, main
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.tables import catalog
from moderation.warehouses.duckdb import DuckDBWarehouse
from support import pictures
from support.each_once import each_once
from support.published_loads import publish_plain

COMMANDS = {
    "start-job": "start-job s3://{bucket}/m.jsonl --output s3://{bucket}/out",
    "list-jobs": "list-jobs",
    "show-job": "show-job no-such-job",
    "detect one": "detect {folder}/pictures/a.jpg",
    "upload": "upload {folder}/pictures",
    "plan": "plan s3://{bucket}/photos",
    "redo": "redo {load}",
    "release": "release s3://{bucket}/work/runs/x/plan-001/plan.json",
    "publish": "publish s3://{bucket}/work/runs/x/plan-001/plan.json",
    "load": "load",
    "compact": "compact",
    "rebuild": "rebuild",
    "ledger": "ledger",
    "files": "files images",
    "query": "query images",
    "query --published": "query images --published",
    "replay": "replay --min-confidence 60",
    "report-page": "report-page --folder {folder}/report",
    "detect": "s3://{bucket}/m.jsonl s3://{bucket}/out",
}
OF_REKOGNITION = ["start-job", "list-jobs", "show-job", "detect one"]
OF_S3 = ["upload", "plan", "redo", "release", "publish", "compact", "rebuild", "ledger", "detect"]
OF_THE_CATALOG = ["plan", "redo", "load", "compact", "rebuild", "ledger", "files", "query --published"]
OF_THE_WAREHOUSE = ["query", "replay", "report-page"]


@dataclass
class Place:
    """Where a published load is, with everything a fault may be made of."""

    folder: Path
    bucket: str
    load: str
    env: pytest.MonkeyPatch

    @property
    def catalog(self) -> Path:
        return self.folder / "catalog.db"

    @property
    def warehouse(self) -> Path:
        return self.folder / "warehouse.duckdb"


def environment(folder: Path, bucket: str, env: pytest.MonkeyPatch) -> None:
    env.setenv("MODERATION_WORK_URI", f"s3://{bucket}/work")
    env.setenv("MODERATION_INPUT_URI", f"s3://{bucket}/in")
    env.setenv("MODERATION_TABLES_URI", str(folder / "tables"))
    env.setenv("MODERATION_CATALOG_URI", f"sqlite:///{folder}/catalog.db")
    env.setenv("MODERATION_WAREHOUSE", str(folder / "warehouse.duckdb"))


@pytest.fixture(scope="module")
def published(
    tmp_path_factory: pytest.TempPathFactory, s3_server: SeaweedFS, credentials: Credentials
) -> tuple[Path, str, str]:
    """A folder with a published load, its copy beside it, the bucket and the load's id."""
    folder, bucket = tmp_path_factory.mktemp("endings") / "live", f"endings-{uuid.uuid4().hex[:16]}"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as env:
        environment(folder, bucket, env)
        env.setenv("AWS_ACCESS_KEY_ID", credentials.access_key)
        env.setenv("AWS_SECRET_ACCESS_KEY", credentials.secret_key)
        env.setenv("AWS_ENDPOINT_URL_S3", s3_server.endpoint_url)
        settings = Settings.from_env()
        with s3_objects.open_client(settings) as client:
            client.create_bucket(Bucket=bucket)
            load = publish_plain(settings, client, "plain")
            manifest = json.dumps({"source-ref": f"s3://{bucket}/photos/a.jpg"}).encode() + b"\n"
            client.put_object(Bucket=bucket, Key="photos/a.jpg", Body=pictures.picture())
            client.put_object(Bucket=bucket, Key="m.jsonl", Body=manifest)
        DuckDBWarehouse(settings).load(load)
    (folder / "pictures").mkdir()
    (folder / "pictures" / "a.jpg").write_bytes(pictures.picture())
    shutil.copytree(folder, folder.with_name("whole"))
    return folder, bucket, load


@pytest.fixture
def place(published: tuple[Path, str, str], aws_env: pytest.MonkeyPatch) -> Place:
    """The published load, whole again: the catalog names its files by their full names."""
    folder, bucket, load = published
    shutil.rmtree(folder)
    shutil.copytree(folder.with_name("whole"), folder)
    environment(folder, bucket, aws_env)
    aws_env.setenv("AWS_MAX_ATTEMPTS", "1")
    aws_env.setenv("AWS_ENDPOINT_URL_REKOGNITION", f"http://127.0.0.1:{ports.find_free()}")
    aws_env.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "none"))
    return Place(folder, bucket, load, aws_env)


@pytest.fixture
def ends(place: Place, capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Run a command, and look at how it ends."""

    def ends(name: str, code: int, *says: str, more: str = "") -> None:
        words = COMMANDS[name].format(bucket=place.bucket, folder=place.folder, load=place.load).split()
        words += more.split()
        begins = f"moderation {words[0]}: " if name != "detect" else "python -m moderation.cli.detect: "
        found = detect.main(words) if name == "detect" else main.main(words)
        shown = capsys.readouterr()
        assert (found, shown.err.count("\n")) == (code, 1), shown.err
        assert shown.err.startswith(begins)
        for text in says:
            assert text in shown.err

    return ends


@pytest.mark.parametrize("name", [*OF_REKOGNITION, *OF_S3])
def test_without_credentials(name: str, place: Place, ends: Callable[..., None]) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        place.env.delenv(variable)
    ends(name, 2, "set AWS_ACCESS_KEY_ID")


@pytest.mark.parametrize("name", [*OF_REKOGNITION, *OF_S3, "files", "query --published"])
def test_a_profile_that_is_not_there(name: str, place: Place, ends: Callable[..., None]) -> None:
    place.env.setenv("AWS_PROFILE", "nobody")
    ends(name, 2, "nobody", "AWS_")


@pytest.mark.parametrize("name", OF_S3)
def test_an_endpoint_that_is_none(name: str, place: Place, ends: Callable[..., None]) -> None:
    place.env.setenv("AWS_ENDPOINT_URL_S3", "nonsense")
    ends(name, 2, "AWS_ENDPOINT_URL_S3='nonsense': expected a URL")


@pytest.mark.parametrize("name", OF_REKOGNITION)
def test_an_endpoint_of_rekognition_that_is_none(name: str, place: Place, ends: Callable[..., None]) -> None:
    place.env.setenv("AWS_ENDPOINT_URL_REKOGNITION", "nonsense")
    ends(name, 2, "Invalid endpoint: nonsense", "AWS_")


@pytest.mark.parametrize("name", OF_S3)
def test_s3_that_is_away(name: str, place: Place, ends: Callable[..., None]) -> None:
    place.env.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{ports.find_free()}")
    ends(name, 75, "Unreachable", "AWS_ENDPOINT_URL_S3")


@pytest.mark.parametrize("name", OF_REKOGNITION)
def test_rekognition_that_is_away(name: str, place: Place, ends: Callable[..., None]) -> None:
    place.env.setenv("AWS_MAX_ATTEMPTS", "1")
    ends(name, 75, "Could not connect", "run again")


@pytest.mark.parametrize("name", OF_S3)
def test_wrong_keys(name: str, place: Place, ends: Callable[..., None]) -> None:
    place.env.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    ends(name, 2, "check AWS_SECRET_ACCESS_KEY")


@pytest.mark.parametrize("name", list(COMMANDS))
def test_a_setting_that_is_malformed(name: str, place: Place, ends: Callable[..., None]) -> None:
    place.env.setenv("MODERATION_WORK_URI", "not a uri")
    ends(name, 2, "MODERATION_WORK_URI='not a uri'")


def text_file(place: Place) -> None:
    place.catalog.write_text("This is no database.\n" * 500)


def folder(place: Place) -> None:
    place.catalog.unlink()
    place.catalog.mkdir()


def cut_off(place: Place) -> None:
    place.catalog.write_bytes(place.catalog.read_bytes()[:8192])


@each_once("name, damage", OF_THE_CATALOG, [text_file, folder, cut_off])
def test_a_damaged_catalog(
    name: str, damage: Callable[[Place], None], place: Place, ends: Callable[..., None]
) -> None:
    damage(place)
    ends(name, 2, str(place.catalog))


@pytest.mark.parametrize("name", OF_THE_CATALOG)
def test_a_catalog_that_another_keeps_locked(name: str, place: Place, ends: Callable[..., None]) -> None:
    place.env.setattr(catalog, "_BUSY_SECONDS", 0.1)
    other = sqlite3.connect(place.catalog, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    ends(name, 75, str(place.catalog), "locked", "run again later")
    other.close()


@pytest.mark.parametrize("name", OF_THE_CATALOG)
def test_a_catalog_whose_database_is_away(name: str, place: Place, ends: Callable[..., None]) -> None:
    uri = f"postgresql+psycopg://me:secret@127.0.0.1:{ports.find_free()}/catalog"
    place.env.setenv("MODERATION_CATALOG_URI", uri)
    ends(name, 75, "the catalog postgresql://127.0.0.1/catalog", "Connection refused")


NO_CATALOGS = {
    "nonsense": ("nonsense://x/y", "nonsense"),
    "mysql": ("mysql://me:secret@x/y", "MySQLdb"),
    "file": ("sqlite:///{text}/c.db", "text"),
}


@each_once("name, catalog", OF_THE_CATALOG, NO_CATALOGS)
def test_a_catalog_that_cannot_be_one(
    name: str, catalog: tuple[str, str], place: Place, ends: Callable[..., None]
) -> None:
    uri, says = catalog
    (place.folder / "text").write_text("a file")
    place.env.setenv("MODERATION_CATALOG_URI", uri.format(text=place.folder / "text"))
    ends(name, 2, says)


@each_once("name, content", OF_THE_CATALOG, {"gone": None, "empty": b"", "text": b"no JSON", "other": b"{}"})
def test_iceberg_metadata_that_is_damaged(
    name: str, content: bytes | None, place: Place, ends: Callable[..., None]
) -> None:
    spoil(place.folder / "tables" / "_iceberg", "*.metadata.json", content)
    ends(name, 2, "Iceberg's metadata of", f"move {place.catalog} away", "moderation rebuild")


@each_once("name, content", OF_THE_CATALOG, {"gone": None, "empty": b"", "text": b"no Avro"})
def test_manifests_that_are_damaged(
    name: str, content: bytes | None, place: Place, ends: Callable[..., None]
) -> None:
    spoil(place.folder / "tables" / "_iceberg", "*.avro", content)
    ends(name, 2, "Iceberg's metadata of", f"move {place.catalog} away", "moderation rebuild")


@each_once(
    "name, content",
    ["plan", "redo", "query --published"],
    {"gone": None, "empty": b"", "text": b"no Parquet"},
)
def test_published_files_that_are_damaged(
    name: str, content: bytes | None, place: Place, ends: Callable[..., None]
) -> None:
    spoil(place.folder / "tables" / "images", "*.parquet", content)
    ends(name, 2, ".parquet", "moderation rebuild")


def spoil(folder: Path, pattern: str, content: bytes | None) -> None:
    paths = list(folder.rglob(pattern))
    assert paths
    for path in paths:
        path.unlink()
        if content is not None:
            path.write_bytes(content)


@pytest.mark.parametrize("name", OF_THE_WAREHOUSE)
def test_a_warehouse_that_is_missing(name: str, place: Place, ends: Callable[..., None]) -> None:
    place.warehouse.unlink()
    ends(name, 2, "no such warehouse")


@each_once("name, keep", OF_THE_WAREHOUSE, [0, 4096, 20_000])
def test_a_warehouse_that_is_damaged(name: str, keep: int, place: Place, ends: Callable[..., None]) -> None:
    place.warehouse.write_bytes(place.warehouse.read_bytes()[:keep] + b"noise " * 20_000)
    ends(name, 2, f"{place.warehouse}: cannot be read", "move it away, then `moderation load`")


def test_a_warehouse_that_was_moved_away_is_made_anew(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.warehouse.rename(place.folder / "away.duckdb")

    assert main.main(["load"]) == 0
    assert capsys.readouterr().out == f"{place.load}\n"
    assert main.main(["load"]) == 0
    assert capsys.readouterr().out == "no warehouse lacks a published load\n"
    assert main.main(["query", "select count(*) as n from images"]) == 0
    assert capsys.readouterr().out.split() == ["n", "6"]


@pytest.mark.parametrize("name", OF_THE_WAREHOUSE)
def test_a_database_of_somebody_else(name: str, place: Place, ends: Callable[..., None]) -> None:
    place.warehouse.unlink()
    duckdb.connect(str(place.warehouse)).close()
    ends(name, 2)


@pytest.fixture
def writer(place: Place) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the warehouse open for writing."""
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(place.warehouse)], stdin=-1, stdout=-1, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.communicate()


@pytest.mark.parametrize("name", ["query", "replay"])
def test_a_warehouse_that_a_load_writes_to(
    name: str, writer: subprocess.Popen[str], ends: Callable[..., None]
) -> None:
    ends(name, 75, f"process {writer.pid}", more="--wait 0.1")


@pytest.mark.parametrize("name", ["plan", "redo", "rebuild", "report-page"])
def test_a_full_disk(name: str, place: Place, ends: Callable[..., None]) -> None:
    def full(*_: object, **__: object) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device", str(place.folder))

    for maker in ("mkdtemp", "NamedTemporaryFile", "TemporaryFile"):
        place.env.setattr(tempfile, maker, full)
    ends(name, 2, "No space left on device", "make room")


def test_an_output_that_cannot_be_written(place: Place) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "moderation.cli", "query", "images"],
            stdout=full,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("moderation query: [Errno 28] No space left on device; make room on that disk")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["moderate"], "invalid choice: 'moderate'"),
        (["plan"], "the following arguments are required: source"),
        (["plan", "x", "--what"], "unrecognized arguments: --what"),
        (["plan", "ftp://x"], "source 'ftp://x': expected s3://bucket/prefix"),
        (["plan", "s3://x/y", "--max-images", "0"], "'0' is not a whole number"),
        (["plan", "s3://b/x", "--min-confidence", "nan"], "expected 0 to 100"),
        (["show-job", "x", "--wait", "forever"], "'forever' is not a number of seconds"),
        (["release", "s3://"], "names no bucket"),
        (["publish", "plan.json"], "is not an S3 URI"),
        (["compact", "--target-mb", "0"], "is not a size from 1 to 4096 MB"),
        (["compact", "--keep-days", "0"], "is not a number of days above 0"),
        (["files", "pictures"], "invalid choice: 'pictures'"),
        (["files", "images", "--since", "yesterday"], "is not a day such as 2026-11-22"),
        (["query", "--rows", "-1"], "is not a whole number"),
        (["query", "top_l4"], "did you mean top_l3"),
        (["replay", "--min-confidence", "150"], "expected 0 to 100"),
        (["replay", "--min-confidence", "50", "--policy", "none.toml"], "none.toml: cannot be read"),
        (["replay", "--min-confidence", "50", "--policy", "{folder}/bad.toml"], "bad.toml: is not TOML"),
        (["rebuild", "--into", "{folder}/tables"], "leave it out to rebuild in place"),
        (["report-page", "--load", "nobody\x1b[2J"], r"'nobody\x1b[2J'"),
        (["upload", "/no/such/folder"], "is no folder"),
        (["redo", "nobody"], "'nobody' is not published"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_arguments_that_cannot_be_used(
    arguments: list[str], says: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    (place.folder / "bad.toml").write_text("name = [")

    code = main.main([text.format(folder=place.folder) for text in arguments])

    shown = capsys.readouterr()
    assert (code, shown.out) == (2, "")
    assert shown.err.count("\n") == 1
    assert shown.err.startswith("moderation")
    assert says in shown.err
    assert "\x1b" not in shown.err
