"""``moderation``: the steps of the pipeline by hand, with boto3 alone.

Exit codes: 0 done, 1 AWS or S3 refused or a job failed, 2 wrong arguments or settings.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions as boto_errors
from botocore.config import Config

from moderation.cli import maintenance, query, replay, report_page
from moderation.plan.plan import Plan, PlanError, run_key
from moderation.plan.planner import make_plan, release
from moderation.plan.request import PlanRequest
from moderation.plan.store import load_plan
from moderation.settings import Settings, SettingsError
from moderation.sources.base import SourceError
from moderation.sources.listing import Tally
from moderation.sources.local_folder import LocalFolder
from moderation.storage import s3_objects

_FINAL = {"SUCCEEDED", "FAILED"}
_POLL_SECONDS = 5.0


class _UsageError(Exception):
    """An argument that AWS would refuse."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code and prints an error as one line."""
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(Settings.from_env(), options)
    except (_UsageError, PlanError, SettingsError, SourceError) as error:
        return _fail(str(error), 2)
    except boto_errors.ClientError as error:
        answer = error.response.get("Error", {})
        return _fail(f"{error.operation_name}: {answer.get('Code')}: {answer.get('Message')}", 1)
    except (boto_errors.BotoCoreError, s3_objects.S3Error, OSError) as error:
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    return code


def _fail(message: str, code: int) -> int:
    print(f"moderation: {' '.join(message.split())}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="moderation", description="Bulk image moderation by hand.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print JSON")
    question = argparse.ArgumentParser(add_help=False)
    question.add_argument("--min-confidence", type=float, default=50.0, metavar="PERCENT")
    question.add_argument("--adapter", metavar="ARN", help="version of a custom moderation adapter")

    start = commands.add_parser("start-job", parents=[shared, question], help="start a media analysis job")
    start.add_argument("manifest", help="s3://bucket/manifest.jsonl, not a folder")
    start.add_argument("--output", required=True, metavar="S3_URI", help="s3://bucket/prefix of the results")
    start.add_argument("--name", help="name of the job")
    start.add_argument("--token", help="the same token starts the same job once")
    start.set_defaults(run=_start_job)

    listing = commands.add_parser("list-jobs", parents=[shared], help="list jobs, newest first")
    listing.add_argument("--limit", type=int, default=20, metavar="N")
    listing.set_defaults(run=_list_jobs)

    show = commands.add_parser("show-job", parents=[shared], help="show a job")
    show.add_argument("job_id")
    show.add_argument("--wait", type=float, default=0.0, metavar="SECONDS", help="wait for its end")
    show.set_defaults(run=_show_job)

    upload = commands.add_parser("upload", parents=[shared], help="upload a folder's pictures, as sync does")
    upload.add_argument("folder", type=Path)
    upload.set_defaults(run=_upload)

    plan = commands.add_parser("plan", parents=[shared, question], help="what a run would do and cost")
    plan.add_argument("source", help="s3://bucket/prefix, an inventory's manifest.json, or a folder")
    plan.add_argument("--force", action="store_true", help="count what is already moderated, too")
    plan.add_argument("--no-inspect", action="store_true", help="do not read the pictures' headers")
    plan.add_argument("--max-images", type=int, metavar="N")
    plan.set_defaults(run=_plan)

    redo = commands.add_parser("redo", parents=[shared], help="what of a load is to be done again")
    redo.add_argument("load_id", help="a published load; see the table loads")
    redo.add_argument(
        "--permanent", action="store_true", help="also what was refused for its own sake (format, size)"
    )
    redo.set_defaults(run=_redo)

    query.add_parser(commands)
    report_page.add_parser(commands)
    replay.add_parser(commands)
    maintenance.add_parsers(commands)

    release = commands.add_parser("release", help="let other runs have the pictures of a run that died")
    release.add_argument("plan_uri", help="s3://…/plan.json")
    release.set_defaults(run=_release)
    return parser


def _start_job(settings: Settings, options: argparse.Namespace) -> int:
    manifest = _location(options.manifest)
    output = _location(options.output)
    if not manifest.key or manifest.key.endswith("/"):
        raise _UsageError(f"{options.manifest} is a folder; name a manifest file (JSON Lines)")
    if not 0 <= options.min_confidence <= 100:
        raise _UsageError(f"--min-confidence {options.min_confidence:g}: expected 0 to 100")
    operation: dict[str, Any] = {"MinConfidence": options.min_confidence}
    if options.adapter:
        operation["ProjectVersion"] = options.adapter
    request: dict[str, Any] = {
        "OperationsConfig": {"DetectModerationLabels": operation},
        "Input": {"S3Object": {"Bucket": manifest.bucket, "Name": manifest.key}},
        "OutputConfig": {"S3Bucket": output.bucket, "S3KeyPrefix": output.key},
    }
    request.update({"JobName": options.name} if options.name else {})
    request.update({"ClientRequestToken": options.token} if options.token else {})
    with _Rekognition(settings) as rekognition:
        job_id = rekognition.start_media_analysis_job(**request)["JobId"]
    _show({"JobId": job_id}, options, [("job", job_id)])
    return 0


def _list_jobs(settings: Settings, options: argparse.Namespace) -> int:
    if options.limit < 1:
        raise _UsageError(f"--limit {options.limit}: expected 1 or more")
    jobs: list[dict[str, Any]] = []
    with _Rekognition(settings) as rekognition:
        token: dict[str, str] = {}
        while len(jobs) < options.limit:
            page = rekognition.list_media_analysis_jobs(
                MaxResults=min(100, options.limit - len(jobs)), **token
            )
            jobs += page.get("MediaAnalysisJobs", [])
            if not page.get("NextToken"):
                break
            token = {"NextToken": page["NextToken"]}
    if options.json:
        print(json.dumps(jobs, default=str, indent=2))
        return 0
    for job in jobs:
        created = f"{job['CreationTimestamp'].astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
        print(f"{job['JobId']}  {job['Status']:<11}  {created}  {job.get('JobName', '')}")
    if not jobs:
        print("no jobs")
    return 0


def _show_job(settings: Settings, options: argparse.Namespace) -> int:
    deadline = time.monotonic() + options.wait
    with _Rekognition(settings) as rekognition:
        job = rekognition.get_media_analysis_job(JobId=options.job_id)
        while job["Status"] not in _FINAL and time.monotonic() < deadline:
            time.sleep(min(_POLL_SECONDS, max(0.0, deadline - time.monotonic())))
            job = rekognition.get_media_analysis_job(JobId=options.job_id)
    job.pop("ResponseMetadata", None)
    failure = job.get("FailureDetails", {})
    lines = [
        ("job", job["JobId"]),
        ("name", job.get("JobName")),
        ("status", job["Status"]),
        ("failure", f"{failure['Code']}: {failure.get('Message', '')}" if failure.get("Code") else None),
        ("created", job.get("CreationTimestamp")),
        ("completed", job.get("CompletionTimestamp")),
        ("manifest", _object_uri(job.get("Input"))),
        ("results", _object_uri(job.get("Results"))),
        ("summary", _object_uri(job.get("ManifestSummary"))),
        ("model", job.get("Results", {}).get("ModelVersions", {}).get("Moderation")),
    ]
    _show(job, options, lines)
    unfinished = options.wait > 0 and job["Status"] != "SUCCEEDED"
    return 1 if unfinished else 0


def _upload(settings: Settings, options: argparse.Namespace) -> int:
    folder, tally = LocalFolder(str(options.folder)), Tally()
    rejected: list[dict[str, Any]] = []
    files = 0
    with s3_objects.open_client(settings, connections=16) as s3:
        for batch in folder.batches(settings, s3, tally, dry_run=False):
            files += batch.num_rows
            rejected += [row for row in batch.to_pylist() if row["error_code"]]
    done = {
        "target": folder.target(settings),
        "files": tally.listed,
        "pictures": files - len(rejected),
        "uploaded": folder.count.uploaded,
        "uploaded_bytes": folder.count.uploaded_bytes,
        "ignored": tally.ignored,
        "rejected": [
            {name: row[name] for name in ("source_ref", "error_code", "error_message")} for row in rejected
        ],
    }
    lines = [(name, value) for name, value in done.items() if name != "rejected"]
    lines += [(row["error_code"], f"{row['source_ref']}: {row['error_message']}") for row in rejected]
    _show(done, options, lines)
    return 0


def _plan(settings: Settings, options: argparse.Namespace) -> int:
    from moderation.tables.published import stream_images  # noqa: PLC0415 - Iceberg is slow to import, only this needs it

    _prove_history(settings)
    now = datetime.now(UTC)
    request = PlanRequest(
        run_key=run_key("cli", now.isoformat()),
        source=options.source,
        logical_time=now,
        min_confidence=options.min_confidence,
        adapter=options.adapter,
        force=options.force,
        inspect=not options.no_inspect,
        max_images=options.max_images,
    )
    plan = make_plan(settings, request, published=stream_images, dry_run=True)
    _show(_summary(plan), options, _plan_lines(plan))
    return 0


def _redo(settings: Settings, options: argparse.Namespace) -> int:
    from moderation.sources.failed_of_load import FailedOfLoad, question_of  # noqa: PLC0415
    from moderation.tables.published import stream_images  # noqa: PLC0415 - as above

    _prove_history(settings)
    now = datetime.now(UTC)
    min_confidence, adapter = question_of(settings, options.load_id)
    request = PlanRequest(
        run_key=run_key("cli", now.isoformat()),
        source=FailedOfLoad(options.load_id, permanent=options.permanent).uri,
        logical_time=now,
        min_confidence=min_confidence,
        adapter=adapter,
    )
    plan = make_plan(settings, request, published=stream_images, dry_run=True)
    conf = {"redo_load_id": options.load_id} | ({"redo_permanent": True} if options.permanent else {})
    command = _redo_command(settings, conf)
    lines = _plan_lines(plan)
    if plan.totals.ignored:
        lines.append(("never in S3", f"{plan.totals.ignored}: mend the files, then run their folder again"))
    lines.append(
        ("nothing to do", _why_nothing(plan, options)) if plan.is_empty else ("to start it", command)
    )
    _show(_summary(plan) | {"conf": conf, "command": None if plan.is_empty else command}, options, lines)
    return 0


def _prove_history(settings: Settings) -> None:
    from moderation.tables.history import prove_history  # noqa: PLC0415 - Iceberg is slow to import

    with s3_objects.open_client(settings) as s3:
        prove_history(settings, s3=s3, remember=False)


def _why_nothing(plan: Plan, options: argparse.Namespace) -> str:
    totals = plan.totals
    if totals.claimed_elsewhere:
        return "another open run has it; see what becomes of that one"
    if totals.already_moderated:
        return "other loads have moderated it meanwhile"
    if options.permanent:
        return "none of it is left to be asked about"
    return "--permanent adds what was refused for its own sake, once it is mended"


def _redo_command(settings: Settings, conf: Mapping[str, Any]) -> str:
    """What starts a redo: the stack's own command, or Airflow's."""
    if settings.redo_command is None:
        return f"airflow dags trigger moderate_images --conf '{json.dumps(conf)}'"
    permanent = "1" if "redo_permanent" in conf else "0"
    return settings.redo_command.replace("{load_id}", conf["redo_load_id"]).replace("{permanent}", permanent)


def _plan_lines(plan: Plan) -> list[tuple[str, Any]]:
    totals = plan.totals
    return [
        ("source", plan.source),
        ("listed", totals.listed),
        ("ignored", totals.ignored),
        ("already moderated", totals.already_moderated),
        ("in another run", totals.claimed_elsewhere),
        ("rejected", totals.rejected),
        ("left to the next run", totals.postponed),
        ("to analyse", totals.to_analyse),
        ("jobs", len(plan.manifests)),
        ("price at most", f"{plan.expected_cost_usd:.4f} USD"),
        ("time by bulk jobs", _duration(plan.expected_seconds["bulk"])),
        ("time by single calls", _duration(plan.expected_seconds["detect"])),
    ]


def _summary(plan: Plan) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(plan.to_json())
    kept = ("source", "min_confidence", "adapter", "totals", "expected_cost_usd", "expected_seconds")
    return {name: content[name] for name in kept} | {"jobs": len(plan.manifests)}


def _release(settings: Settings, options: argparse.Namespace) -> int:
    _location(options.plan_uri)
    plan = load_plan(options.plan_uri, settings=settings)
    release(plan, settings=settings)
    print(f"released {plan.totals.to_analyse + plan.totals.rejected} pictures of {plan.load_id}")
    return 0


class _Rekognition:
    """A Rekognition client for the length of a block."""

    def __init__(self, settings: Settings) -> None:
        config = Config(retries={"mode": "standard", "max_attempts": 5}, connect_timeout=10, read_timeout=60)
        self._client = boto3.Session().client("rekognition", region_name=settings.region, config=config)

    def __enter__(self) -> Any:
        return self._client

    def __exit__(self, *exception: object) -> None:
        self._client.close()


def _location(uri: str) -> s3_objects.Location:
    try:
        return s3_objects.split_uri(uri)
    except ValueError as error:
        raise _UsageError(str(error)) from error


def _object_uri(holder: dict[str, Any] | None) -> str | None:
    found = (holder or {}).get("S3Object", {})
    return f"s3://{found['Bucket']}/{found['Name']}" if found.get("Name") else None


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "not offered in this region"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min {rest:02d} s"


def _show(content: object, options: argparse.Namespace, lines: Iterable[tuple[str, Any]]) -> None:
    if options.json:
        print(json.dumps(content, default=str, indent=2))
        return
    for name, value in lines:
        if value is not None:
            print(f"{name + ':':<22}{value}")


if __name__ == "__main__":
    sys.exit(main())
