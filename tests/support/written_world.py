"""A whole run in one process, kept at three moments, and brought back as it was for each damage."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pytest
from botocore.client import BaseClient

from local_aws.rekognition.launch import Rekognition
from moderation import stages
from moderation.analyse.detect.budget import FixedBudget
from moderation.analyse.detect.errors import DetectError
from moderation.analyse.detect.records import request_of
from moderation.analyse.detect.request import DetectOptions
from moderation.analyse.detect.run import run_manifest
from moderation.archive.backfill import state, step
from moderation.archive.backfill.cutting import cut
from moderation.archive.backfill.state import Options
from moderation.maintenance import compaction
from moderation.maintenance.erasure import erase as erasing
from moderation.maintenance.erasure.erase import Elsewhere
from moderation.maintenance.erasure.wanted import Wanted
from moderation.maintenance.rebuild import rebuild
from moderation.maintenance.verify import verify
from moderation.plan.store import load_plan
from moderation.publish.standing import open_standing
from moderation.publish.verdicts import published_verdicts
from moderation.query.published_views import open_published
from moderation.report import run_report
from moderation.report.page.store import write_numbers_page
from moderation.review import mark
from moderation.review.state.open import open_state
from moderation.review.statistics.numbers import numbers_of
from moderation.review.verdict import Verdict
from moderation.stages import Run
from moderation.tables.faults import TablesDamagedError
from moderation.tables.published import read_loads
from moderation.tables.standing import GONE, VERDICTS
from moderation.warehouses.reading import open_warehouse
from support import pictures
from support import rekognition_server as offline
from support.archive_runs import StageRuns
from support.console_load import served
from support.put_back import Install
from support.said import said

LOGICAL_TIME = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
DAG = "moderate_images"

_IMAGES = (
    "SELECT source_ref, status, error_code, label_count, top_l1, max_confidence, content_type "
    "FROM images ORDER BY ALL"
)
_LABELS = "SELECT level, source_ref, name, confidence FROM labels ORDER BY ALL"
_LOADS = "SELECT images, moderated, failed, billed FROM loads ORDER BY ALL"
QUESTIONS = (_IMAGES, _LABELS, _LOADS)

Answers = dict[str, list[Any]]


@dataclass(frozen=True)
class Moment:
    """What lay in the bucket and in the folder.

    :ivar run: the run that a person goes on with.
    :ivar owed: images whose answers are kept nowhere.
    """

    run: str
    files: Mapping[str, bytes]
    owed: Counter[str] = field(default_factory=Counter)


@dataclass
class World(Install):
    """One install with pictures of its own."""

    server: Rekognition
    moments: dict[str, Moment] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)
    known: Counter[str] = field(default_factory=Counter)
    answered: dict[str, Any] = field(default_factory=dict)
    looked: dict[str, Any] = field(default_factory=dict)
    said: list[Any] = field(default_factory=list)
    shown: list[Any] = field(default_factory=list)
    missed: list[Any] = field(default_factory=list)
    reconciled: dict[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> str:
        return f"s3://{self.bucket}/photos/"

    def upload(self, names: Iterable[str]) -> None:
        """Pictures that all differ, from those of other installs too."""
        for name in names:
            body = pictures.jpeg(80, 80) + f"{self.bucket}/{name}".encode()
            self.s3.put_object(Bucket=self.bucket, Key=f"photos/{name}.jpg", Body=body)

    @property
    def review_db(self) -> str:
        """The database of verdicts."""
        return str(self.folder / "review.db")

    # -- what lies there

    def keep(self, moment: str, run: str) -> None:
        """Remember how everything lies now."""
        files = self.files()
        spooled = b"".join(body for name, body in files.items() if name.startswith("disk:spool/"))
        images = (name[3:] for name in files if name.startswith("s3:photos/") and name.endswith(".jpg"))
        refs = [f"s3://{self.bucket}/{key}" for key in images]
        owed = Counter(ref for ref in refs if spooled and not self.known[ref] and ref.encode() not in spooled)
        self.moments[moment] = Moment(run, files, owed)
        self.written |= set(files)

    def restore(self, moment: str) -> None:
        """Bring everything back as it lay then."""
        self.put_back(self.moments[moment].files)

    def paid(self) -> Counter[str]:
        """How often each picture was billed."""
        return Counter(
            entry["source_ref"]
            for entry in offline.ledger(self.server)
            if entry["event"] == "detect_billed" and entry["source_ref"].startswith(self.source)
        )

    # -- what a run does

    def plan(self, run: str) -> str:
        """Discover, and choose the backend."""
        uri = stages.discover(
            Run(DAG, run, LOGICAL_TIME), source=self.source, backend="detect", settings=self.settings
        )
        stages.job_arguments(uri, settings=self.settings)
        return uri

    def detect(self, uri: str, *, stopped: Callable[[], bool] | None = None, shared: bool = False) -> None:
        """Ask about every picture of a plan; slowly if it is to be stopped."""
        plan = load_plan(uri, s3=self.s3)
        for manifest in plan.manifests:
            run_manifest(
                request_of(plan, manifest),
                settings=self.settings,
                s3=self.s3,
                budget=None if shared or stopped else FixedBudget(1000),
                quota=2.0 if stopped else 1000.0,
                options=DetectOptions(
                    max_in_flight=1,
                    part_seconds=0.05,
                    owner_seconds=1.0,
                    image_seconds=60.0,
                    outage_seconds=60.0,
                    spool_dir=self.folder / "spool",
                    stopped=stopped or (lambda: False),
                ),
            )

    def finish(self, uri: str) -> str:
        """Publish, load, report: returns the report's text."""
        load = stages.publish(uri, [], describe_job=_no_job, list_jobs=_no_jobs, settings=self.settings)
        stages.load(load.load_id if load else None, settings=self.settings)
        return run_report.report(uri, load.load_id if load else None, settings=self.settings)

    def run_through(self, run: str) -> None:
        """A run as the Dag does it."""
        uri = self.plan(run)
        self.detect(uri)
        self.finish(uri)

    def erase(self, name: str) -> None:
        """Take an image away, at its source and wherever anything was written about it."""
        key = f"photos/{name}.jpg"
        self.s3.delete_object(Bucket=self.bucket, Key=key)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MODERATION_SPOOL_DIR", str(self.folder / "spool"))
            wanted = Wanted(frozenset([f"s3://{self.bucket}/{key}"]))
            receipt = erasing.erase(self.settings, wanted, elsewhere=lambda _: Elsewhere())
        assert not receipt.left

    # -- what a person sees

    def go_on(self, run: str, then: str) -> dict[str, Answers]:
        """What a person does next, up to the answers: a run, and what the row of the table says."""
        if then == "rebuild":
            rebuild(self.settings)
        if then == "verify":
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("MODERATION_REVIEW_DB", self.review_db)
                damage = verify(self.settings).damaged
            if damage:
                raise TablesDamagedError(damage[0])
        uri = self.plan(run)
        self.detect(uri, shared=then == "share the rate")
        self.finish(uri)
        found = self.answers()
        if then == "look":
            found["console"] = self.look()
        if then == "review":
            found["review"] = self.review()
        if then == "verdicts":
            found["verdicts"] = self.published_verdicts()
            assert self.mirrored("verdicts") == len(found["verdicts"])
        if then == "gone":
            found["gone"] = self.gone()
        if then == "archive":
            found["archive"] = self.end_archive()
        return found

    def answers(self) -> dict[str, Answers]:
        """What each reader answers."""
        found: dict[str, Answers] = {}
        with open_published(self.settings) as connection:
            found["published"] = _ask(connection)
        with open_warehouse(self.settings.warehouse_path, wait_seconds=0) as connection:
            found["warehouse"] = _ask(connection)
        mirror = self.settings.parquet_mirror
        assert mirror
        with duckdb.connect() as connection:
            rows = connection.sql(
                f"SELECT source_ref, status, label_count FROM '{mirror}/images/*.parquet' ORDER BY ALL"
            )
            found["mirror"] = {"images": rows.fetchall()}
        return found

    def mirrored(self, table: str) -> int:
        """How many rows the folder for other tools has of a table."""
        with duckdb.connect() as connection:
            rows = connection.sql(f"SELECT * FROM '{self.settings.parquet_mirror}/{table}/*.parquet'")
            return len(rows)

    def review(self, verdicts: Sequence[Verdict] = ()) -> list[Any]:
        """What people have decided, as the console opens it, and what they decide besides."""
        state = open_state(self.review_db)
        try:
            mark.check(self.s3, self.settings, state)
            if verdicts:
                state.log.append(verdicts)
            mark.note(self.s3, self.settings, state)
            return state.log.since(0)
        finally:
            state.close()

    def publish_verdicts(self) -> None:
        """Show readers what people have decided."""
        state = open_state(self.review_db)
        try:
            stages.publish_verdicts(state, settings=self.settings)
        finally:
            state.close()

    def published_verdicts(self) -> list[Any]:
        """What whoever publishes next finds published."""
        with open_standing(self.settings, VERDICTS):
            pass
        return [said for part in published_verdicts(self.settings) for said in part]

    def gone(self) -> list[Any]:
        """Which images whoever marks next finds marked."""
        with open_standing(self.settings, GONE) as table:
            return [name for batch in table.rows(["source_ref"]) for name in batch[0].to_pylist()]

    def begin_archive(self) -> None:
        """Cut what lies there into chunks, and work the first one off."""
        options = Options(order="prefix", chunk_images=5, backend="detect")
        made = cut(self.settings, self.s3, "old", self.source, options, now=LOGICAL_TIME.isoformat())
        assert len(made.chunks) > 1
        assert state.create(self.settings, self.s3, made)
        self._look(StageRuns(self.settings, self.s3, self.folder), 1)

    def end_archive(self) -> dict[str, Any]:
        """Work the other chunks off, and say what became of every key."""
        first = state.read(self.settings, self.s3, "old")
        runs = StageRuns(self.settings, self.s3, self.folder)
        runs.known = {first.run_id(chunk): "success" for chunk in first.chunks if chunk.is_under_way}
        for number in range(2, len(first.chunks) + 3):
            self._look(runs, number)
        assert step.due(settings=self.settings) == ["old"]
        return step.reconcile("old", settings=self.settings)

    def _look(self, runs: StageRuns, number: int) -> None:
        asked = step.step(
            runs, asker=f"look-{number}", settings=self.settings, now=LOGICAL_TIME + timedelta(hours=number)
        )
        runs.begin(asked)
        step.begun([one["trigger_run_id"] for one in asked], settings=self.settings)

    def look(self) -> dict[str, Any]:
        """What the console shows of the last load: tiles and one image; loaded again where it says so."""
        with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
            patch.setenv("MODERATION_REVIEW_DB", self.review_db)
            client = stack.enter_context(served(self.settings, self.folder / "cache"))
            load_id = max(row["load_id"] for row in read_loads(self.settings).to_pylist())
            address = f"/jobs/{load_id}/tiles?offset=0&limit=100&show=all"
            tiles = client.get(address)
            if tiles.status_code == 503:
                assert "can be loaded again" in tiles.text
                tiles = client.get(address)
            assert tiles.status_code == 200, tiles.text
            tile = client.get(f"/jobs/{load_id}/images/0/tile")
            assert tile.status_code == 200, tile.text
            verified = client.get("/verified", params={"load": load_id}).json()
            shown = [{key: entry[key] for key in ("n", "name")} for entry in tiles.json()["tiles"]]
            return {"tiles": shown, "tile": tile.content, "verified": verified}


def _ask(connection: duckdb.DuckDBPyConnection) -> Answers:
    return {sql: connection.execute(sql).fetchall() for sql in QUESTIONS}


def _no_job(job_id: str) -> dict[str, Any]:
    raise AssertionError(job_id)


def _no_jobs() -> Iterator[dict[str, Any]]:
    return iter(())


def make_world(world: World, images: Iterable[str]) -> World:
    """A first night published, a second one kept at three moments, the tables compacted in between."""
    settings, s3, bucket = world.settings, world.s3, world.bucket
    first, second = ["a", "b", "c"], list(images)
    missed = ["x", "y"][len(second) % 2 :]  # installs differ in how many
    world.upload(first)
    s3.put_object(Bucket=bucket, Key="photos/README.md", Body=b"no image")
    s3.put_object(Bucket=bucket, Key="photos/broken.png", Body=pictures.png(90, 80)[:-60])
    with _recorded(world.written, bucket):
        world.upload([*missed, "z"])
        world.run_through("night-1")
        world.known = world.paid()
        world.erase("z")
        for name in missed:
            s3.delete_object(Bucket=bucket, Key=f"photos/{name}.jpg")
        world.upload(second)
        again = {"Bucket": bucket, "Key": "photos/a.jpg"}
        s3.copy_object(Bucket=bucket, Key="photos/copy.jpg", CopySource=again)
        uri = world.plan("night-2")
        _stop_half_way(world, uri)
        world.detect(uri, shared=True)
        world.keep("answered", "night-2")
        world.finish(uri)
        compaction.compact(settings, keep=timedelta(0))
        world.looked = world.look()
        world.answered = world.answers()
        world.missed = world.gone()
        world.said = world.review([said("present", content=f"c{number}") for number in range(100)])
        world.keep("published", "night-3")
        world.publish_verdicts()
        write_numbers_page(world.settings, numbers_of(world.settings))
        world.shown = world.published_verdicts()
        world.keep("verdicts published", "night-3")
        world.begin_archive()
        world.keep("archive begun", "night-3")
        world.reconciled = world.end_archive()
    return world


def _stop_half_way(world: World, uri: str) -> None:
    """Keep the state of a process in the middle, as a kill leaves it; then let it end."""
    before = sum(world.paid().values())

    def stopped() -> bool:
        if sum(world.paid().values()) - before < 2:
            return False
        parts = [name for name in world.names() if "/checkpoint/part-" in name]
        if not parts:
            return False
        world.keep("half answered", "night-2")
        return True

    try:
        world.detect(uri, stopped=stopped)
    except DetectError:
        assert "half answered" in world.moments
    else:
        raise AssertionError("it was to be stopped half way")


@contextmanager
def _recorded(written: set[str], bucket: str) -> Iterator[None]:
    """Every key that boto3 writes meanwhile, also those that are gone at the end."""
    call = BaseClient._make_api_call

    def recording(self: Any, operation: str, arguments: dict[str, Any]) -> Any:
        if operation in {"PutObject", "CreateMultipartUpload"} and arguments["Bucket"] == bucket:
            written.add(f"s3:{arguments['Key']}")
        return call(self, operation, arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseClient, "_make_api_call", recording)
        yield
