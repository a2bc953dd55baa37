"""What a whole listing does not show any more is marked, once, until it comes back; nothing else ever is."""

from __future__ import annotations

import gzip
import json
import logging
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pytest
from pyiceberg.catalog import load_catalog

from moderation.plan.plan import Plan, run_key
from moderation.plan.planner import make_plan
from moderation.plan.request import PlanRequest
from moderation.publish import gone, standing
from moderation.publish.commit import publish
from moderation.report.run_report import nothing_new
from moderation.settings import Settings
from moderation.sources import gone as compared
from moderation.sources import s3_prefix
from moderation.storage import s3_objects
from moderation.tables.catalog import load_table, open_catalog
from moderation.tables.ledger.known import stream_known
from moderation.tables.ledger.upkeep import bring_up
from moderation.tables.published import scan
from moderation.tables.standing import GONE
from support import pictures
from support.killed import killed_at
from support.planned_runs import Run, answer, line
from support.put_back import MadeOnce

NOON = datetime(2026, 5, 4, 12, 30, tzinfo=UTC)
NAMES = ("a.jpg", "b/c.jpg", "b/notes.txt", "b/\U0001f600.jpg", "z.jpg")


class Archive:
    """Images in a bucket, all of them answered, beside one of another prefix that is answered, too."""

    def __init__(self, settings: Settings, s3: Any, bucket: str) -> None:
        self.settings, self.s3, self.bucket = settings, s3, bucket

    def uri(self, name: str = "") -> str:
        return f"s3://{self.bucket}/photos/{name}"

    def answer(self, load: str, keys: list[str]) -> None:
        run = Run(self.settings, self.s3, name=load)
        refs = [f"s3://{self.bucket}/{key}" for key in keys]
        run.manifest(refs, b"\n".join(line(ref, answer()) for ref in refs))
        publish(self.settings, run.store(), run.records)
        bring_up(self.settings)

    def put(self, name: str) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=f"photos/{name}", Body=pictures.picture() + name.encode())

    def delete(self, *names: str) -> None:
        for name in names:
            self.s3.delete_object(Bucket=self.bucket, Key=f"photos/{name}")

    def look(self, source: str = "", run: str = "run", **options: Any) -> Plan:
        """Plan a run over the images, or over another source."""
        request = PlanRequest(
            run_key=run_key("dag", f"{run}-{datetime.now(UTC).isoformat()}"),
            source=source or self.uri(),
            logical_time=NOON,
        )
        return make_plan(self.settings, request, published=stream_known, mark=gone.mark, **options)

    def inventory(self, *names: str) -> str:
        """A report that shows these, as a bucket was some time ago; its URI."""
        lines = "".join(f'"{self.bucket}","photos/{quote(name)}","9","2026-01-01","e"\n' for name in names)
        body = gzip.compress(lines.encode())
        self.s3.put_object(Bucket=self.bucket, Key="inv/1.csv.gz", Body=body)
        manifest = {
            "sourceBucket": self.bucket,
            "destinationBucket": f"arn:aws:s3:::{self.bucket}",
            "fileFormat": "CSV",
            "fileSchema": "Bucket, Key, Size, LastModifiedDate, ETag",
            "files": [{"key": "inv/1.csv.gz"}],
        }
        uri = f"s3://{self.bucket}/inv/manifest.json"
        s3_objects.put(self.s3, uri, json.dumps(manifest).encode())
        return uri

    def marked(self) -> list[str]:
        return sorted(row["source_ref"].removeprefix(self.uri()) for row in self.rows())

    def rows(self) -> list[dict[str, Any]]:
        with open_catalog(self.settings) as catalog:
            batches = scan(load_table(catalog, GONE), GONE, GONE.schema.names)
            return [row for batch in batches for row in batch.to_pylist()]


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    return MadeOnce(tmp_path_factory.mktemp("gone"))


@pytest.fixture
def archive(made_once: MadeOnce, bucket: str, aws_env: Any, s3_client: Any) -> Archive:
    def make(settings: Settings) -> None:
        made = Archive(settings, s3_client, bucket)
        made.answer("first", [*(f"photos/{name}" for name in NAMES), "photos-old/a.jpg"])
        for name in NAMES:
            made.put(name)

    install = made_once.get(s3_client, bucket, make)
    return Archive(install.settings, s3_client, install.bucket)


@pytest.mark.slow
def test_an_image_that_is_gone_is_marked_once_and_no_longer_when_it_is_back(archive: Archive) -> None:
    archive.delete("a.jpg", "b/\U0001f600.jpg")
    before = datetime.now(UTC)
    assert archive.look(dry_run=True).totals.gone == 2
    assert archive.marked() == []
    for _ in range(2):
        plan = archive.look()
        assert plan.totals.gone == 2
        assert archive.marked() == ["a.jpg", "b/\U0001f600.jpg"]
    names = pa.array([archive.uri("a.jpg")])  # as another run would, that looked at the same time
    gone.mark(archive.settings, compared.Looked(source="s", at=NOON, missing=names, back=names[:0], still=0))
    (first, second) = archive.rows()
    assert (first["source"], first["dt"]) == (archive.uri(), first["gone_at"].date())
    assert before <= first["gone_at"] == second["gone_at"] <= datetime.now(UTC)
    assert "2 answered or refused before are gone" in nothing_new(plan)

    archive.put("a.jpg")
    archive.delete("z.jpg")
    assert archive.look().totals.gone == 2
    assert archive.marked() == ["b/\U0001f600.jpg", "z.jpg"]


@pytest.mark.long
def test_an_emptied_place_has_all_of_its_images_gone_until_they_are_back(archive: Archive) -> None:
    archive.delete(*NAMES)
    assert archive.look().totals.gone == len(NAMES)
    for name in NAMES:
        archive.put(name)
    assert archive.look().totals.gone == 0
    assert archive.marked() == []


def test_more_than_memory_has_room_for_are_counted_and_the_rest_is_marked_when_there_is_room(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    archive.delete("a.jpg", "b/c.jpg", "z.jpg")
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(compared, "_MOST_MARKED", 1)
        for _ in range(2):
            assert archive.look().totals.gone == 3
            assert archive.marked() == ["a.jpg"]
        assert "2 images more are gone and not marked" in caplog.text
    archive.look()
    assert archive.marked() == ["a.jpg", "b/c.jpg", "z.jpg"]


def test_a_night_is_held_against_many_times_its_listing_and_not_against_all_of_history(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    archive.delete(*NAMES[:3])
    monkeypatch.setattr(compared, "_MOST_BESIDES", 0)
    monkeypatch.setattr(compared, "_MOST_TIMES", 1)
    assert archive.look().totals.gone == 0
    assert archive.marked() == []
    assert "those that are gone are not looked for" in caplog.text
    monkeypatch.setattr(compared, "_MOST_TIMES", 3)
    assert archive.look().totals.gone == 3


@pytest.mark.slow
def test_what_shows_less_than_all_of_a_place_marks_nothing(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    archive.delete("a.jpg", "b/c.jpg")
    keys = tmp_path / "keys.txt"
    keys.write_text(archive.uri("z.jpg") + "\n")
    for source in (f"{archive.uri()} | *.jpg", f"list:{keys}", f"{archive.uri()} | age<1d"):
        assert archive.look(source).totals.gone == 0, source

    def failing(*args: Any, **options: Any) -> Any:
        yield []
        raise s3_objects.S3Refused("403", bucket=archive.bucket, key="photos/", action="list", cause="no")

    with monkeypatch.context() as patch:
        patch.setattr(s3_prefix, "list_in_parallel", failing)
        with pytest.raises(s3_objects.S3Refused):
            archive.look()
    assert archive.marked() == []
    assert archive.look(archive.uri("b")).totals.gone == 1
    assert archive.look(archive.uri("b/c*")).totals.gone == 1
    assert archive.marked() == ["b/c.jpg"]


@pytest.mark.slow
def test_what_an_inventory_does_not_show_is_gone_when_s3_says_so_between_its_first_and_its_last_key(
    archive: Archive,
) -> None:
    """It may be of a part of the bucket, and older than what other runs have answered since."""
    archive.delete("a.jpg", "b/c.jpg")
    shown = [name for name in NAMES if name.startswith("b/")]
    report = archive.inventory(shown[0], shown[-1])
    assert shown == ["b/c.jpg", "b/notes.txt", "b/\U0001f600.jpg"]
    assert archive.look(report).totals.gone == 0
    report = archive.inventory("a.jpg", "b/notes.txt", "z.jpg")
    assert archive.look(report, dry_run=True).totals.gone == 1
    archive.look(report)
    assert archive.marked() == ["b/c.jpg"]
    archive.look()
    assert archive.marked() == ["a.jpg", "b/c.jpg"]
    archive.put("b/c.jpg")
    archive.look(archive.inventory("a.jpg", "b/c.jpg", "z.jpg"))
    assert archive.marked() == ["a.jpg"]


def test_what_a_journal_says_was_deleted_is_gone_when_s3_says_so(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it does not mention is older than it; who is not known is nobody's."""
    told = [("b/c.jpg", "CREATE"), ("b/c.jpg", "DELETE"), ("z.jpg", "DELETE"), ("unknown.jpg", "DELETE")]
    places = {"type": "sql", "uri": f"sqlite:///{tmp_path}/j.db", "warehouse": f"file://{tmp_path}/j"}
    for name, value in places.items():
        monkeypatch.setenv(f"PYICEBERG_CATALOG__TEST__{name.upper()}", value)
    source, rows = "table:test/b.journal", records(archive, told)
    archive.delete("a.jpg", "b/c.jpg")
    with closing(load_catalog("test", **places)) as catalog:
        catalog.create_namespace("b")
        table = catalog.create_table("b.journal", schema=rows.schema)
        table.append(rows)
        assert archive.look(source).totals.gone == 1
        assert archive.marked() == ["b/c.jpg"]
        archive.put("b/c.jpg")
        table.append(records(archive, [("b/c.jpg", "CREATE")], first=9))
    assert archive.look(source).totals.gone == 0
    assert archive.marked() == []


def records(archive: Archive, told: list[tuple[str, str]], *, first: int = 1) -> pa.Table:
    rows = [
        {
            "bucket": archive.bucket,
            "key": f"photos/{name}",
            "version_id": None,
            "sequence_number": f"{number:06x}",
            "is_delete_marker": False,
            "size": 9 if record == "CREATE" else None,
            "last_modified_date": NOON.replace(tzinfo=None),
            "e_tag": "e" if record == "CREATE" else None,
            "record_type": record,
        }
        for number, (name, record) in enumerate(told, start=first)
    ]
    kinds = {"is_delete_marker": pa.bool_(), "size": pa.int64(), "last_modified_date": pa.timestamp("us")}
    return pa.Table.from_pylist(rows, pa.schema([(name, kinds.get(name, pa.string())) for name in rows[0]]))


def test_what_a_listing_shows_and_gives_no_row_is_not_gone(archive: Archive) -> None:
    archive.s3.put_object(Bucket=archive.bucket, Key="photos/a.jpg", Body=b"")
    archive.s3.put_object(Bucket=archive.bucket, Key="photos/b/notes.txt", Body=b"")
    archive.delete("z.jpg")
    assert archive.look().totals.gone == 1
    assert archive.marked() == ["z.jpg"]


@pytest.mark.slow
def test_what_another_run_publishes_during_a_listing_is_not_held_against_it(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = compared.Watch.begin

    def slow(*args: Any) -> compared.Watch:
        watch = began(*args)
        archive.answer("meanwhile", ["photos/new.jpg"])
        return watch

    archive.delete("a.jpg")
    with monkeypatch.context() as patch:
        patch.setattr(compared.Watch, "begin", slow)
        assert archive.look().totals.gone == 1
    assert archive.look().totals.gone == 2
    assert archive.marked() == ["a.jpg", "new.jpg"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "step", ["listed", *(pytest.param(step, marks=pytest.mark.long) for step in ("uploaded", "shown"))]
)
def test_a_run_that_dies_while_it_marks_loses_nothing_and_tells_nothing_twice(
    archive: Archive, step: str
) -> None:
    archive.delete("a.jpg")
    archive.look()
    archive.put("a.jpg")
    archive.delete("z.jpg", "b/c.jpg")
    with killed_at(step, standing):
        archive.look()
    assert archive.look().totals.gone == 2
    assert archive.marked() == ["b/c.jpg", "z.jpg"]


def test_a_table_that_cannot_be_written_stops_no_run(
    archive: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    archive.delete("a.jpg")
    archive.look()
    (uri,) = [
        f"s3://{archive.bucket}/{entry['Key']}"
        for entry in s3_objects.list_objects(archive.s3, f"{archive.settings.work_uri}/standing/")
        if entry["Key"].endswith("/gone.json")
    ]
    kept = s3_objects.read(archive.s3, uri).body
    s3_objects.put(archive.s3, uri, b"{}")
    archive.delete("z.jpg")
    with caplog.at_level(logging.WARNING):
        assert archive.look().totals.gone == 2
    assert "not marked" in caplog.text
    s3_objects.put(archive.s3, uri, kept)
    archive.look()
    assert archive.marked() == ["a.jpg", "z.jpg"]
