"""The completion report of a run: proof that every image is accounted for, and of which bytes that is told.

``report.json`` beside the plan holds counts, every failure with its code, message and manifest line, what was
left out as no image, the SHA-256 of every file that went in or came out, and the cost.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import orjson
from pyiceberg.catalog import Catalog

from moderation import schema
from moderation.analyse import backend
from moderation.plan.plan import Plan
from moderation.plan.price import copies_in_words
from moderation.policy.thresholds import in_use
from moderation.reference import error_codes
from moderation.report import left_out
from moderation.report.offline import notice
from moderation.settings import Settings
from moderation.storage.files import Storage
from moderation.tables.catalog import load_table, open_catalog
from moderation.tables.outcomes import count_blocked, count_owed
from moderation.tables.published import files_of_load, published_load, read_load, scan

MAX_FAILURES = 100_000
"""Failures listed one by one; a load with more has them all in its table ``images``."""

SHOWN_FAILURES = 20
"""Failures listed in the text."""

_FAILURE = ("source_ref", "status", "error_code", "error_message", "manifest_id", "line_number", "origin")
_THREADS = 8
_CHUNK = 1 << 20


def build_completion(settings: Settings, plan: Plan, load_id: str | None, *, outcome: str) -> dict[str, Any]:
    """Everything that is to be said of a run, as plain values.

    :param load_id: what the run published; None when it published nothing.
    :param outcome: how the run ended, in one line.
    :raises warehouses.base.WarehouseError: the load is not published.
    """
    with Storage(settings) as storage:
        choice = backend.read_choice(plan, s3=storage.s3_client)
        report: dict[str, Any] = {
            "run_key": plan.run_key,
            "plan": plan.uri,
            "load_id": load_id,
            "outcome": outcome,
            "source": plan.source,
            "backend": choice.backend if choice else plan.backend,
            "backend_reason": choice.reason if choice else None,
            "adapter": plan.adapter,
            "min_confidence": plan.min_confidence,
            "thresholds_in_use": in_use().says,
            "written_at": datetime.now(UTC).isoformat(),
            "plan_totals": asdict(plan.totals),
            "expected_cost_usd": plan.expected_cost_usd,
            "expected_seconds": plan.expected_seconds,
            "copies": copies_in_words(plan, choice.backend if choice else plan.backend),
            "left_out": left_out.of_plan(plan, s3=storage.s3_client),
        }
        if load_id is None:
            return report
        with open_catalog(settings) as catalog:
            load = published_load(catalog, load_id)
            return report | _published(plan, load, catalog, storage)


def page_uri(plan: Plan) -> str:
    """Where the report is as a page, beside the JSON."""
    return f"{plan.folder_uri}/report.html"


def encode(report: dict[str, Any]) -> bytes:
    """The report as JSON."""
    return orjson.dumps(report, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z)


def to_text(report: dict[str, Any], *, uri: str, redo_command: str) -> str:
    """The part of the report that a terminal shows below the load's own.

    :param uri: where the page is; the JSON lies beside it.
    :param redo_command: does again what failed.
    """
    lines = []
    if report["backend_reason"]:
        lines += [report["backend_reason"], ""]
    counts = report["counts"]
    lines.append(
        f"Accounts      {counts['inputs']:,} inputs = {counts['moderated']:,} moderated + "
        f"{counts['failed']:,} failed + {counts['not_attempted']:,} not attempted"
        + (f" + {counts['superseded']:,} published by another load" if counts["superseded"] else "")
    )
    for failure in report["failures"][:SHOWN_FAILURES]:
        place = (
            f"{failure['manifest_id']} line {failure['line_number']}" if failure["manifest_id"] else "plan"
        )
        name = (failure.get("origin") or failure["source_ref"]).encode("unicode_escape").decode("ascii")
        lines.append(f"  {failure['error_code']}  {place}  {name}")
    if len(report["failures"]) > SHOWN_FAILURES:
        lines.append(
            f"  … {counts['failed'] + counts['not_attempted'] - SHOWN_FAILURES:,} more in the report"
        )
    if report["plan_totals"]["copies"]:
        lines.append(f"Copies        {report['copies']}")
    if gone := report["plan_totals"].get("gone"):
        lines.append(
            f"Gone          {gone:,} images that were answered or refused are no longer at the source"
        )
    lines += _left_out(report["left_out"])
    lines.append(f"Completion    {len(report['files']):,} files with SHA-256, every failure with its line")
    lines.append(f"              {uri}")
    refused = [error_codes.is_permanent(failure["error_code"] or "") for failure in report["failures"]]
    if not all(refused):
        lines.append(f"Redo          {redo_command}")
    if any(refused):
        lines.append(f"  once mended {redo_command} --permanent")
    return "\n".join(lines) + "\n"


def _left_out(said: dict[str, Any]) -> Iterator[str]:
    if told := left_out.in_words(said["rules"]):
        yield f"No images     {told}"
        if said["unread"]:
            yield f"              {said['unread']:,} of these by their names alone: their bytes were not read"
        if said["list"]:
            yield f"              {said['list']}"


def _published(plan: Plan, load: dict[str, Any], catalog: Catalog, storage: Storage) -> dict[str, Any]:
    jobs = [row for batch in read_load(catalog, schema.JOBS, load) for row in batch.to_pylist()]
    failures, owed, blocked = _failures(catalog, load)
    names = ("moderated", "failed", "not_attempted", "superseded", "billed", "anomalies")
    counts = {name: load[name] for name in names}
    inputs = plan.totals.inputs
    accounted = sum(counts[name] for name in ("moderated", "failed", "not_attempted", "superseded"))
    return {
        "counts": {"inputs": inputs, **counts, "owed": owed},
        "is_reconciled": inputs == accounted,
        "blocked": blocked,
        "cost_usd": load["cost_usd"],
        "notice": notice(_answers(jobs)),
        "published_at": load["published_at"],
        "failures": failures,
        "failures_omitted": load["failed"] + load["not_attempted"] - len(failures),
        "jobs": [
            {name: row[name] for name in ("manifest_id", "job_id", "backend", "status", "failure_code",
                                          "failure_message", "images", "billed", "cost_usd")}
            for row in jobs
        ],
        "files": _checksums(storage, _files(plan, load, catalog, jobs)),
    }  # fmt: skip


def _answers(jobs: Iterable[dict[str, Any]]) -> Counter[str | None]:
    """Answers by model."""
    found: Counter[str | None] = Counter()
    for job in jobs:
        found[job["model_version"]] += job["moderated"]
    return found


def _failures(catalog: Catalog, load: dict[str, Any]) -> tuple[list[dict[str, Any]], int, dict[str, int]]:
    """The first failed images; how many images are owed; how many a person can bring, by code."""
    where = f"dt = '{load['dt'].isoformat()}' and load_id = '{load['load_id']}'"
    table = load_table(catalog, schema.IMAGES)
    found: list[dict[str, Any]] = []
    owed = 0
    blocked: Counter[str] = Counter()
    for batch in scan(table, schema.IMAGES, _FAILURE, load_ids={load["load_id"]}, where=where):
        owed += count_owed(batch.select(["status", "error_code"]))
        blocked += count_blocked(batch.select(["status", "error_code"]))
        rows = (row for row in batch.to_pylist() if row["status"] != schema.MODERATED)
        found += [row for row, _ in zip(rows, range(MAX_FAILURES - len(found)), strict=False)]
    found.sort(key=lambda row: (row["manifest_id"] or "", row["line_number"] or 0, row["source_ref"]))
    return found, owed, dict(blocked)


def _files(
    plan: Plan, load: dict[str, Any], catalog: Catalog, jobs: Iterable[dict[str, Any]]
) -> Iterator[tuple[str, str]]:
    """Kind and URI of every file of the run."""
    yield "plan", plan.uri
    yield "inputs", plan.inputs_uri
    for manifest in plan.manifests:
        yield "manifest", manifest.uri
    for job in jobs:
        for kind in ("results", "summary"):
            if uri := job[f"{kind}_uri"]:
                yield kind, uri
    for spec in schema.TABLES.values():
        for file in files_of_load(load_table(catalog, spec), load["load_id"], load["dt"].isoformat()):
            yield spec.name, file.file_path


def _checksums(storage: Storage, files: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """Size and SHA-256 of each file as it is stored now."""
    _ = storage.s3_client  # opened here, for threads would each open one
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="checksum") as pool:
        return list(pool.map(lambda file: _checksum(storage, *file), files))


def _checksum(storage: Storage, kind: str, uri: str) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    with storage.open(uri) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return {"kind": kind, "uri": uri, "bytes": size, "sha256": digest.hexdigest()}
