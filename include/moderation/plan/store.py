"""A plan as it lies in S3: its names, its parts, and whether it is still open.

::

    {work_uri}/runs/{run_key}/plan-001/inputs-{sha}.parquet   every input: to analyse, or rejected with a code
                                       manifests/{id}.jsonl   what the backend is given
                                       plan.json              written last: without it there is no plan
                                       published.json         the plan's rows are in the tables
                                       abandoned.json         another plan took over
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from moderation.errors import NeedsAPersonError
from moderation.plan.manifests import parse, verify
from moderation.schema import INPUTS_SCHEMA
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.storage.row_file import rebatched
from moderation.storage.state import SealBroken, seal, unseal

_CLOSING = ("published.json", "abandoned.json")
_ROW_GROUP_ROWS = 10_000


class PlanError(NeedsAPersonError):
    """A plan cannot be made or used; the text says what is wrong and what to do."""


@dataclass(frozen=True, kw_only=True)
class Totals:
    """What became of everything listed; ``listed`` is the sum of the others.

    :param ignored: plainly no pictures, or further mentions of the same object.
    :param already_moderated: published before, with an answer that covers this question.
    :param claimed_elsewhere: in another unfinished plan.
    :param postponed: beyond the plan's size; left to the next run.
    :param rejected: cannot be sent; each has a row with a code.
    :param to_analyse: lines in the manifests.
    """

    listed: int
    ignored: int
    already_moderated: int
    claimed_elsewhere: int
    postponed: int
    rejected: int
    to_analyse: int


@dataclass(frozen=True, kw_only=True)
class ManifestRef:
    """One manifest of a plan.

    :param job_name: name for the job that analyses it; obeys AWS's pattern.
    :param output_prefix: key prefix for the job's output, in ``output_bucket``; obeys AWS's pattern.
    """

    manifest_id: str
    uri: str
    lines: int
    bytes: int
    job_name: str
    output_bucket: str
    output_prefix: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that the later stages need to know of a run.

    :param uri: of ``plan.json``; of nothing that exists for a dry run.
    :param load_id: names everything the run publishes; chosen before any effect.
    :param dt: date of the run's logical time, the partition of its rows.
    :param model_version: the least model whose answers counted as moderated.
    :param backend: ``bulk``, ``detect`` or ``auto``.
    :param expected_cost_usd: if every image is analysed.
    :param expected_seconds: by backend; null for a backend that the region lacks.
    """

    uri: str
    run_key: str
    plan_number: int
    load_id: str
    dt: str
    source: str
    min_confidence: float
    adapter: str | None
    model_version: str
    force: bool
    backend: str
    created_at: str
    inputs_uri: str
    inputs_sha256: str
    totals: Totals
    expected_cost_usd: float
    expected_seconds: dict[str, float | None]
    manifests: tuple[ManifestRef, ...]

    @property
    def folder_uri(self) -> str:
        """Folder of the plan's files."""
        return self.uri.rpartition("/")[0]

    @property
    def is_empty(self) -> bool:
        """True when there is nothing to analyse and nothing to report as rejected."""
        return self.totals.to_analyse == 0 and self.totals.rejected == 0

    def analysis_record_uri(self, manifest_id: str) -> str:
        """Where the record of a manifest's analysis is kept."""
        return f"{self.folder_uri}/jobs/{manifest_id}.json"

    @property
    def completion_uri(self) -> str:
        """Where the completion report of the run is: counts, every failure, checksums, cost."""
        return f"{self.folder_uri}/report.json"

    @property
    def report_uri(self) -> str:
        """Where the report of the run is."""
        return f"{self.folder_uri}/report.txt"

    def to_json(self) -> bytes:
        """The content of ``plan.json``, sealed with its own checksum."""
        content = asdict(self)
        del content["uri"]
        return seal(content)

    @classmethod
    def from_json(cls, body: bytes, uri: str) -> Plan:
        """Read ``plan.json``.

        :raises PlanError: it is damaged.
        """
        try:
            content = unseal(body)
            names = {field.name for field in fields(cls)}
            content = {name: value for name, value in content.items() if name in names}
            content["totals"] = Totals(**content["totals"])
            content["manifests"] = tuple(ManifestRef(**entry) for entry in content["manifests"])
            return cls(uri=uri, **content)
        except SealBroken as error:
            raise PlanError(f"{uri} is damaged: {error}; delete it and plan the run again") from error
        except (AttributeError, KeyError, TypeError) as error:
            raise PlanError(f"{uri} is no plan: {error!r}; delete it and plan the run again") from error


def run_key(dag_id: str, run_id: str) -> str:
    """A name for a run that is safe in keys and AWS names; run ids hold ``:`` and ``+``, which are not."""
    digest = hashlib.sha256(f"{dag_id}\n{run_id}".encode()).hexdigest()[:12]
    slug = re.sub(r"[^a-z0-9]+", "-", f"{dag_id}-{run_id}".lower()).strip("-")[:60].strip("-")
    return f"{slug}-{digest}" if slug else digest


def load_id(run_key: str, plan_number: int, logical_time: datetime) -> str:
    """``YYYYMMDDTHHMMSSZ-<12 hex digits>``: the run's time, and a digest that no other plan has."""
    digest = hashlib.sha256(f"{run_key}\n{plan_number}".encode()).hexdigest()[:12]
    return f"{logical_time.astimezone(UTC):%Y%m%dT%H%M%SZ}-{digest}"


def run_uri(settings: Settings, run_key: str) -> str:
    """Folder of a run's plans."""
    return s3_objects.join_uri(settings.work_uri, "runs", run_key)


def plan_uri(settings: Settings, run_key: str, number: int) -> str:
    """Where ``plan.json`` of a run's plan is, or will be."""
    return s3_objects.join_uri(run_uri(settings, run_key), f"plan-{number:03d}", "plan.json")


def dry_run_uri(settings: Settings, run_key: str) -> str:
    """Where the plan of a dry run is kept: beside the plans, and none of them."""
    return s3_objects.join_uri(run_uri(settings, run_key), "dry-run", "plan.json")


def load_plan(uri: str, *, settings: Settings | None = None, s3: Any = None) -> Plan:
    """Read a plan by the URI of its ``plan.json``.

    :raises PlanError: there is no such plan, or it is damaged; s3.S3Error: S3 cannot be read.
    """
    with _using(settings, s3) as client:
        try:
            body = s3_objects.read(client, uri).body
        except s3_objects.S3Error as error:
            if error.is_missing:
                raise PlanError(f"there is no plan {uri}; check the address or plan the run again") from error
            raise
    return Plan.from_json(body, uri)


def read_inputs(plan: Plan, *, settings: Settings | None = None, s3: Any = None) -> pa.Table:
    """The plan's inputs (:data:`moderation.schema.INPUTS_SCHEMA`) by manifest and line, rejected ones last.

    :raises PlanError: the file is not the one that was planned.
    """
    with _using(settings, s3) as client, open_inputs(plan, s3=client) as file:
        return file.read()


@contextmanager
def open_inputs(plan: Plan, *, s3: Any) -> Iterator[pq.ParquetFile]:
    """A local copy of the plan's inputs, to be read in portions.

    :raises PlanError: the file is not the one that was planned.
    """
    with tempfile.TemporaryFile() as copy:
        s3_objects.download(s3, plan.inputs_uri, copy)
        _check_inputs(plan, copy)
        with pq.ParquetFile(copy) as file:
            yield file


def read_manifest(
    plan: Plan, manifest_id: str, *, settings: Settings | None = None, s3: Any = None
) -> list[str]:
    """The source-refs of one of the plan's manifests, in order, proven by its id.

    :raises PlanError: the plan has no such manifest; manifests.ManifestError: it was changed.
    """
    for manifest in plan.manifests:
        if manifest.manifest_id == manifest_id:
            with _using(settings, s3) as client:
                return parse(s3_objects.read(client, manifest.uri).body, manifest_id)
    raise PlanError(f"{plan.uri} has no manifest {manifest_id!r}; see its list of manifests")


def check_manifests(plan: Plan, *, s3: Any) -> None:
    """Prove that all manifests are as they were planned, before anything is paid for.

    :raises manifests.ManifestError: one was changed; s3.S3Error: one cannot be read.
    """
    for manifest in plan.manifests:
        verify(s3_objects.read(s3, manifest.uri).body, manifest.manifest_id)


def check_inputs(plan: Plan, path: Path) -> None:
    """Prove that a local copy of the plan's inputs is the file that was planned.

    :raises PlanError: it is not.
    """
    with path.open("rb") as file:
        _check_inputs(plan, file)


def write_inputs(s3: Any, folder_uri: str, tables: Iterable[pa.Table]) -> tuple[str, str]:
    """Store the inputs under a name that holds their digest; returns URI and SHA-256.

    :param tables: :data:`moderation.schema.INPUTS_SCHEMA`; the same rows give the same file however they
        are divided.
    """
    with tempfile.TemporaryFile() as file:
        options = {"compression": "zstd", "compression_level": 1}
        with pq.ParquetWriter(file, INPUTS_SCHEMA, **options) as writer:
            for group in rebatched(tables, _ROW_GROUP_ROWS):
                writer.write_table(group, row_group_size=_ROW_GROUP_ROWS)
        digest = _sha256(file)
        uri = f"{folder_uri}/inputs-{digest[:12]}.parquet"
        s3_objects.put(s3, uri, file)
    return uri, digest


def latest_plan(settings: Settings, run_key: str, *, s3: Any) -> Plan | None:
    """The run's newest plan, open or not."""
    folder = run_uri(settings, run_key) + "/"
    bucket, prefix = s3_objects.split_uri(folder)
    names = [
        entry["Prefix"].removeprefix(prefix).rstrip("/")
        for page in s3_objects.list_pages(s3, bucket, prefix, delimiter="/")
        for entry in page.get("CommonPrefixes", [])
    ]
    numbers = [int(name.removeprefix("plan-")) for name in names if re.fullmatch(r"plan-\d+", name)]
    for number in sorted(numbers, reverse=True):
        uri = plan_uri(settings, run_key, number)
        if s3_objects.exists(s3, uri):
            return load_plan(uri, s3=s3)
    return None


def iter_plans(settings: Settings, *, s3: Any) -> Iterator[Plan]:
    """Every plan below ``work_uri``, by run and number; a folder without ``plan.json`` holds none.

    :raises PlanError: one of them is damaged.
    """
    bucket, prefix = s3_objects.split_uri(s3_objects.join_uri(settings.work_uri, "runs") + "/")
    for run in _folders(s3, bucket, prefix):
        for folder in _folders(s3, bucket, run):
            if re.search(r"/plan-\d+/$", folder):
                uri = f"s3://{bucket}/{folder}plan.json"
                if s3_objects.exists(s3, uri):
                    yield load_plan(uri, s3=s3)


def _folders(s3: Any, bucket: str, prefix: str) -> list[str]:
    pages = s3_objects.list_pages(s3, bucket, prefix, delimiter="/")
    return sorted(entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", []))


def find_open_plan(settings: Settings, run_key: str, *, s3: Any = None) -> Plan | None:
    """The run's newest plan if it still waits to be published; an empty one never waits."""
    with _using(settings, s3) as client:
        plan = latest_plan(settings, run_key, s3=client)
        if plan is None or plan.is_empty or is_closed(plan, s3=client):
            return None
        return plan


def is_closed(plan: Plan, *, s3: Any) -> bool:
    """Whether the plan was published or abandoned.

    :raises PlanError: the marker that says so is damaged.
    """
    return any(_has_marker(plan, name, s3=s3) for name in _CLOSING)


def close(plan: Plan, how: str, *, s3: Any) -> None:
    """Leave the marker ``published`` or ``abandoned``; the first one stays."""
    marker = seal({"load_id": plan.load_id, "at": datetime.now(UTC).isoformat()})
    s3_objects.put_if_absent(s3, f"{plan.folder_uri}/{how}.json", marker)


def _has_marker(plan: Plan, name: str, *, s3: Any) -> bool:
    uri = f"{plan.folder_uri}/{name}"
    try:
        marker = unseal(s3_objects.read(s3, uri).body)
    except s3_objects.S3Error as error:
        if error.is_missing:
            return False
        raise
    except SealBroken as error:
        raise PlanError(f"{uri} is damaged: {error}; delete it and clear the publish task") from error
    if marker.get("load_id") != plan.load_id:
        raise PlanError(f"{uri} is of load {marker.get('load_id')}; delete it and clear the publish task")
    return True


@contextmanager
def _using(settings: Settings | None, s3: Any) -> Iterator[Any]:
    """The given client, or one of our own for this call."""
    if s3 is not None:
        yield s3
        return
    with s3_objects.open_client(settings or Settings.from_env()) as client:
        yield client


def _check_inputs(plan: Plan, file: Any) -> None:
    if _sha256(file) != plan.inputs_sha256:
        raise PlanError(f"{plan.inputs_uri} was changed after it was planned; plan the run again")


def _sha256(file: Any) -> str:
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0)
    return digest
