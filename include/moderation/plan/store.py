"""A plan as it lies in S3: its names, its parts, and whether it is still open.

::

    {work_uri}/runs/{run_key}/plan-001/inputs-{sha}.parquet   every input: to analyse, or rejected with a code
                                       left-out-{sha}.parquet what is no image, with the rule that says so
                                       known-{sha}.parquet    answers of earlier loads that copies get,
                                       known-labels-{sha}.parquet  and their labels
                                       manifests/{id}.jsonl   what the backend is given
                                       plan.json              written last: without it there is no plan
                                       published.json         the plan's rows are in the tables
                                       abandoned.json         another plan took over
                                       settled.json           another run publishes what it paid for
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from moderation.plan.content.answers import IMAGE_ANSWERS, LABEL_ANSWERS
from moderation.plan.manifests import parse, verify
from moderation.plan.plan import INPUTS_SCHEMA, Plan, PlanError
from moderation.settings import Settings
from moderation.sources.listing import LEFT_OUT
from moderation.storage import parquet, s3_objects
from moderation.storage.row_file import rebatched
from moderation.storage.state import read_state, seal

_CLOSING = ("published.json", "abandoned.json", "settled.json")
_ROW_GROUP_ROWS = 10_000


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
        stored = s3_objects.find(client, uri)
    if stored is None:
        raise PlanError(f"there is no plan {uri}; check the address or plan the run again")
    return Plan.from_json(stored.body, uri)


def read_inputs(plan: Plan, *, settings: Settings | None = None, s3: Any = None) -> pa.Table:
    """The plan's inputs (:data:`plan.plan.INPUTS_SCHEMA`) by manifest and line, rejected ones last.

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
        _check(copy, plan.inputs_sha256, plan.inputs_uri)
        with parquet.open_file(copy) as file:
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
    check_file(path, plan.inputs_sha256, plan.inputs_uri)


def check_file(path: Path, sha256: str, uri: str) -> None:
    """Prove that a local copy of a file of a plan is what was planned.

    :param uri: of the file, for the message.
    :raises PlanError: it is not.
    """
    with path.open("rb") as file:
        _check(file, sha256, uri)


def write_inputs(s3: Any, folder_uri: str, tables: Iterable[pa.Table]) -> tuple[str, str]:
    """Store the inputs under a name that holds their digest; returns URI and SHA-256.

    :param tables: :data:`plan.plan.INPUTS_SCHEMA`; the same rows give the same file however they
        are divided.
    """
    return _write_rows(s3, f"{folder_uri}/inputs", INPUTS_SCHEMA, tables)


def write_left_out(s3: Any, folder_uri: str, tables: Iterable[pa.Table]) -> str:
    """Store the list of what is no image; returns its URI.

    :param tables: :data:`moderation.sources.listing.LEFT_OUT`.
    """
    return _write_rows(s3, f"{folder_uri}/left-out", LEFT_OUT, tables)[0]


def write_known(
    s3: Any, folder_uri: str, answers: Iterable[pa.Table], labels: Iterable[pa.Table]
) -> dict[str, str]:
    """Store answers of earlier loads; returns the SHA-256 of each file by its URI, that of the labels last.

    :param answers: :data:`moderation.plan.content.answers.IMAGE_ANSWERS`.
    :param labels: :data:`moderation.plan.content.answers.LABEL_ANSWERS`.
    """
    return dict(
        [
            _write_rows(s3, f"{folder_uri}/known", IMAGE_ANSWERS, answers),
            _write_rows(s3, f"{folder_uri}/known-labels", LABEL_ANSWERS, labels),
        ]
    )


@contextmanager
def open_left_out(plan: Plan, *, s3: Any) -> Iterator[Iterator[pa.RecordBatch]]:
    """The plan's list of what is no image, in portions; nothing where a plan has none.

    :raises PlanError: the list is damaged.
    """
    if not plan.left_out_uri:
        yield iter(())
        return
    with tempfile.TemporaryFile() as copy:
        s3_objects.download(s3, plan.left_out_uri, copy)
        try:
            with parquet.open_file(copy) as file:
                yield file.iter_batches(_ROW_GROUP_ROWS, columns=LEFT_OUT.names)
        except (OSError, pa.ArrowException) as error:
            raise PlanError(f"{plan.left_out_uri} is damaged ({error}); plan the run again") from error


def _write_rows(s3: Any, uri: str, schema: pa.Schema, tables: Iterable[pa.Table]) -> tuple[str, str]:
    with tempfile.TemporaryFile() as file:
        options = {"compression": "zstd", "compression_level": 1}
        with parquet.Writer(file, schema, **options) as writer:
            for group in rebatched(tables, _ROW_GROUP_ROWS):
                writer.write_table(group, row_group_size=_ROW_GROUP_ROWS)
        digest = _sha256(file)
        uri = f"{uri}-{digest[:12]}.parquet"
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
    """Whether the plan was published or abandoned, or another run sees to what it paid for.

    :raises PlanError: the marker that says so is damaged.
    """
    return any(_has_marker(plan, name, s3=s3) for name in _CLOSING)


def is_over(plan: Plan, *, s3: Any) -> bool:
    """Whether the plan was published or abandoned: nothing of it waits to be published.

    :raises PlanError: as of :func:`is_closed`.
    """
    return any(_has_marker(plan, name, s3=s3) for name in _CLOSING[:2])


def close(plan: Plan, how: str, *, s3: Any) -> None:
    """Leave the marker ``published``, ``abandoned`` or ``settled``; the first one of a kind stays."""
    marker = seal({"load_id": plan.load_id, "at": datetime.now(UTC).isoformat()})
    s3_objects.put_if_absent(s3, f"{plan.folder_uri}/{how}.json", marker)


def _has_marker(plan: Plan, name: str, *, s3: Any) -> bool:
    uri = f"{plan.folder_uri}/{name}"
    remedy = "delete it and clear the publish task"
    marked = read_state(s3, uri, parse=itemgetter("load_id"), error=PlanError, remedy=remedy)
    if marked not in {None, plan.load_id}:
        raise PlanError(f"{uri} is of load {marked}; {remedy}")
    return marked is not None


@contextmanager
def _using(settings: Settings | None, s3: Any) -> Iterator[Any]:
    """The given client, or one of our own for this call."""
    if s3 is not None:
        yield s3
        return
    with s3_objects.open_client(settings or Settings.from_env()) as client:
        yield client


def _check(file: Any, sha256: str, uri: str) -> None:
    if _sha256(file) != sha256:
        raise PlanError(f"{uri} was changed after it was planned; plan the run again")


def _sha256(file: Any) -> str:
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0)
    return digest
