"""``moderation start-job``, ``list-jobs``, ``show-job`` and ``detect``: Rekognition asked by hand."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from moderation.adapters.status import check_adapter
from moderation.cli import arguments
from moderation.cli.boundary import DONE, SOMETHING_FAILED
from moderation.cli.output import one_line, print_json, show
from moderation.reference import limits
from moderation.settings import Settings
from moderation.sources import image_header
from moderation.storage import s3_objects
from moderation.variables.machine import MachineSettings

_FINAL = {"SUCCEEDED", "FAILED"}
_POLL_SECONDS = 5.0


def add_parsers(commands: Any) -> None:
    """Add them to a program's commands.

    :param commands: what ``ArgumentParser.add_subparsers()`` returned.
    """
    start = commands.add_parser("start-job", help="start a media analysis job")
    start.add_argument("manifest", type=arguments.location, help="s3://bucket/manifest.jsonl, not a folder")
    start.add_argument(
        "--output",
        type=arguments.location,
        required=True,
        metavar="S3_URI",
        help="s3://bucket/prefix of the results",
    )
    start.add_argument("--name", help="name of the job")
    start.add_argument("--token", help="the same token starts the same job once")
    start.add_argument("--min-confidence", type=arguments.percentage, default=50.0, metavar="PERCENT")
    start.add_argument("--adapter", metavar="ARN", help="version of a custom moderation adapter")
    start.set_defaults(run=_start_job)

    listing = commands.add_parser("list-jobs", help="list jobs, newest first")
    listing.add_argument("--limit", type=arguments.count, default=20, metavar="N")
    listing.set_defaults(run=_list_jobs)

    shown = commands.add_parser("show-job", help="show a job")
    shown.add_argument("job_id")
    shown.add_argument(
        "--wait", type=arguments.seconds, default=0.0, metavar="SECONDS", help="wait for its end"
    )
    shown.set_defaults(run=_show_job)

    detect = commands.add_parser(
        "detect",
        help="what Rekognition says of one image",
        description="Ask DetectModerationLabels about one image; AWS bills one image. No table knows of it.",
    )
    detect.add_argument("image", help="a PNG or JPEG file of at most 5 MB, or s3://bucket/key (15 MB)")
    detect.add_argument("--min-confidence", type=arguments.percentage, default=50.0, metavar="PERCENT")
    detect.add_argument("--adapter", metavar="ARN", help="version of a custom moderation adapter")
    detect.set_defaults(run=_detect)
    for parser in (start, listing, shown, detect):
        parser.add_argument("--json", action="store_true", help="print JSON")


def _start_job(settings: Settings, options: argparse.Namespace) -> int:
    manifest, output = options.manifest, options.output
    if not manifest.key or manifest.key.endswith("/"):
        raise arguments.UsageError(f"{manifest.uri} is a folder; name a manifest file (JSON Lines)")
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
    with Rekognition(settings) as rekognition:
        job_id = rekognition.start_media_analysis_job(**request)["JobId"]
    show({"JobId": job_id}, [("job", job_id)], as_json=options.json)
    return DONE


def _list_jobs(settings: Settings, options: argparse.Namespace) -> int:
    jobs: list[dict[str, Any]] = []
    with Rekognition(settings) as rekognition:
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
        print_json(jobs)
        return DONE
    for job in jobs:
        created = f"{job['CreationTimestamp'].astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
        print(f"{job['JobId']}  {job['Status']:<11}  {created}  {one_line(job.get('JobName', ''))}")
    if not jobs:
        print("no jobs")
    return DONE


def _show_job(settings: Settings, options: argparse.Namespace) -> int:
    deadline = time.monotonic() + options.wait
    with Rekognition(settings) as rekognition:
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
    show(job, lines, as_json=options.json)
    unfinished = options.wait > 0 and job["Status"] != "SUCCEEDED"
    return SOMETHING_FAILED if unfinished else DONE


def _detect(settings: Settings, options: argparse.Namespace) -> int:
    request: dict[str, Any] = {"Image": _image(options.image), "MinConfidence": options.min_confidence}
    with Rekognition(settings) as rekognition:
        if options.adapter:
            check_adapter(rekognition, options.adapter)
            request["ProjectVersion"] = options.adapter
        answer = rekognition.detect_moderation_labels(**request)
    answer.pop("ResponseMetadata", None)
    if options.json:
        print_json(answer)
        return DONE
    labels = answer.get("ModerationLabels", [])
    kinds = [f"{kind['Name']} {kind['Confidence']:.2f}" for kind in answer.get("ContentTypes", [])]
    lines = [
        ("image", options.image),
        ("model", answer.get("ModerationModelVersion")),
        (
            "adapter",
            answer.get("ProjectVersion") or ("ignored: the base model answered" if options.adapter else None),
        ),
        ("content types", ", ".join(kinds) or None),
        ("labels", len(labels) or f"none of at least {options.min_confidence:g} %"),
    ]
    show(answer, lines, as_json=False)
    if labels:
        print("\nconfidence  level  label")
    for label in labels:
        level, parent = label.get("TaxonomyLevel"), label.get("ParentName")
        name = one_line(label["Name"] + (f" (in {parent})" if parent else ""))
        print(f"{label['Confidence']:>10.2f}  {level if level is not None else '':>5}  {name}")
    return DONE


def _image(text: str) -> dict[str, Any]:
    """The ``Image`` of a request: an object of S3, or the bytes of a file that the service may take."""
    if text.startswith("s3://"):
        try:
            bucket, key = s3_objects.split_uri(text)
        except s3_objects.UriError as error:
            raise arguments.UsageError(str(error)) from error
        if not key or key.endswith("/"):
            raise arguments.UsageError(
                f"{text} is a folder; name one image, or its folder to moderation plan"
            )
        return {"S3Object": {"Bucket": bucket, "Name": key}}
    path = Path(text)
    try:
        if not path.is_file():
            what = "is a folder; name one image in it" if path.is_dir() else "is no file; name an image"
            raise arguments.UsageError(f"{text} {what}, or s3://bucket/key")
        with path.open("rb") as file:
            data = file.read(limits.IMAGE_MAX_BYTES + 1)
    except OSError as error:
        raise arguments.UsageError(f"{text} cannot be read: {error.strerror or error}") from error
    if refused := image_header.check_bytes(data):
        raise arguments.UsageError(f"{text}: {refused.message} Nothing was asked and nothing was paid")
    if len(data) > limits.IMAGE_MAX_RAW_BYTES:
        raise arguments.UsageError(
            f"{text} has {len(data):,} bytes; a file may have 5 MB, an object in S3 15 MB: bring it to "
            "S3 and name s3://bucket/key"
        )
    return {"Bytes": data}


class Rekognition:
    """A Rekognition client for the length of a block.

    :raises arguments.UsageError: the environment names an endpoint that is none.
    """

    def __init__(self, settings: Settings) -> None:
        retries = MachineSettings.from_env().aws_retries()
        config = Config(retries=retries, connect_timeout=10, read_timeout=60)
        try:
            self._client = boto3.Session().client("rekognition", region_name=settings.region, config=config)
        except ValueError as error:  # botocore has no class of its own for it
            raise arguments.UsageError(
                f"Rekognition cannot be reached: {error}; check the variables AWS_…"
            ) from error

    def __enter__(self) -> Any:
        return self._client

    def __exit__(self, *exception: object) -> None:
        self._client.close()


def jobs_since(rekognition: Any, since: datetime) -> Iterator[dict[str, Any]]:
    """The entries of ListMediaAnalysisJobs created since a time, newest first.

    :param rekognition: a boto3 client.
    """
    token: dict[str, str] | None = {}
    while token is not None:  # botocore has no paginator for it
        page = rekognition.list_media_analysis_jobs(MaxResults=100, **token)
        for job in page["MediaAnalysisJobs"]:
            if job["CreationTimestamp"] < since:
                return
            yield job
        token = {"NextToken": page["NextToken"]} if page.get("NextToken") else None


def _object_uri(holder: dict[str, Any] | None) -> str | None:
    found = (holder or {}).get("S3Object", {})
    return f"s3://{found['Bucket']}/{found['Name']}" if found.get("Name") else None
