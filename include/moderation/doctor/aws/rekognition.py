"""Rekognition: what the region has, whether the account may use it, and the adapter in use.

Bulk jobs are closed to accounts that did not use them in the twelve months before 2026-04-30, and AWS has not
published what such an account is answered. So a job is asked for whose manifest does not exist, which costs
nothing, and what the answer leaves open is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from moderation.adapters import champion, registry
from moderation.adapters.registry import RegistryError
from moderation.adapters.status import AdapterUnusableError
from moderation.analyse import backend
from moderation.analyse.detect import eligibility
from moderation.analyse.detect.eligibility import Verdict
from moderation.doctor.aws import refusals
from moderation.doctor.aws.account import Account
from moderation.doctor.finding import Finding, ok, stop, warning
from moderation.reference import limits
from moderation.storage import s3_objects

_STATEMENT = "ModerateWithRekognition"
_NOWHERE = "doctor-no-such-object"
_KNOWS_NONE = {"ResourceNotFoundException", "InvalidParameterException", "ValidationException"}
_CALLS = "set MODERATION_BACKEND=detect, so that nobody asks again; auto takes single calls by itself"


def region(account: Account) -> Iterator[Finding]:
    """Whether AWS offers bulk jobs where the buckets are."""
    name = account.settings.region
    quotas = limits.quotas(name)
    if quotas.bulk_concurrent_jobs:
        yield ok(f"{name} has bulk jobs, {quotas.bulk_concurrent_jobs} at once by AWS's list")
        return
    found = (
        f"AWS lists no bulk jobs in {name}: images go one by one, {quotas.detect_tps:g} a second by default"
    )
    helps = f"for bulk jobs use buckets and AWS_REGION of one of {', '.join(limits.bulk_regions())}"
    if account.nightly.backend == "bulk":
        yield stop(f"{found}; MODERATION_BACKEND=bulk fails", f"set MODERATION_BACKEND=auto, or {helps}")
    else:
        yield warning(found, helps)


def bulk_jobs(account: Account) -> Iterator[Finding]:
    """Whether the account may start jobs, and follow them."""
    listed, trouble = _listed(account)
    if trouble is not None:
        yield trouble
    if (trouble := _may_get(account)) is not None:
        yield trouble
    bucket = s3_objects.split_uri(account.settings.work_uri).bucket
    try:
        verdict = eligibility.ask(account.rekognition, bucket=bucket)
    except (ClientError, BotoCoreError) as error:
        yield refusals.unanswered(error, "whether the account may start jobs")
        return
    yield _may_start(account, verdict, listed)
    yield from _remembered(account, verdict)


def single_calls(account: Account) -> Iterator[Finding]:
    """Whether DetectModerationLabels may be called: asked about an image that does not exist, for nothing."""
    work = s3_objects.split_uri(account.settings.work_uri)
    image = {"S3Object": {"Bucket": work.bucket, "Name": f"{_NOWHERE}.jpg"}}
    try:
        account.rekognition.detect_moderation_labels(Image=image)
    except (ClientError, BotoCoreError) as error:
        if refusals.code_of(error) == "InvalidS3ObjectException":
            yield ok("the account may call DetectModerationLabels; nothing was paid")
        elif refusals.is_denied(error):
            level = warning if account.nightly.backend == "bulk" else stop
            yield level(
                f"DetectModerationLabels: {refusals.message_of(error)}",
                _grant(error, "DetectModerationLabels"),
            )
        else:
            yield refusals.unanswered(error, "whether DetectModerationLabels may be called")
        return
    yield warning(
        f"DetectModerationLabels answered about s3://{work.bucket}/{_NOWHERE}.jpg; one image was paid",
        "delete that object",
    )


def adapter(account: Account) -> Iterator[Finding]:
    """Whether the champion still answers."""
    settings = account.settings
    try:
        arn = registry.load(settings).champion
        if arn is None:
            yield ok("none is promoted: the base model answers")
            return
        status = champion.check(settings, account.rekognition, arn)
    except (AdapterUnusableError, RegistryError) as error:
        yield stop(
            str(error),
            f"roll back: `{settings.command} adapter rollback`; see `{settings.command} adapter list`",
        )
    except s3_objects.S3Error as error:
        yield refusals.unanswered(error, "which adapter is in use")
    except (ClientError, BotoCoreError) as error:
        yield refusals.unanswered(error, "the state of the adapter in use")
    else:
        if status == "DEPRECATED":
            yield warning(
                f"the champion {arn} is DEPRECATED: it expires within 90 days; then the base model answers",
                "train a new version: on the page *Adapters* of the console, or by the Dag *Train adapter*",
            )
        else:
            yield ok(f"the champion {arn} is {status}")


def _listed(account: Account) -> tuple[list[dict[str, Any]], Finding | None]:
    """The newest job of the account, which AWS keeps for a year."""
    try:
        return account.rekognition.list_media_analysis_jobs(MaxResults=1).get("MediaAnalysisJobs", []), None
    except (ClientError, BotoCoreError) as error:
        return [], _cannot_follow(account, error, "ListMediaAnalysisJobs")


def _may_get(account: Account) -> Finding | None:
    try:
        account.rekognition.get_media_analysis_job(JobId=_NOWHERE)
    except (ClientError, BotoCoreError) as error:
        found = refusals.code_of(error) in _KNOWS_NONE
        return None if found else _cannot_follow(account, error, "GetMediaAnalysisJob")
    return None


def _cannot_follow(account: Account, error: Exception, operation: str) -> Finding:
    if not refusals.is_denied(error):
        return refusals.unanswered(error, operation)
    level = stop if account.nightly.backend == "bulk" else warning
    return level(
        f"jobs cannot be followed: {operation}: {refusals.message_of(error)}", _grant(error, operation)
    )


def _may_start(account: Account, verdict: Verdict, listed: list[dict[str, Any]]) -> Finding:
    newest = f"{listed[0]['CreationTimestamp'].astimezone(UTC):%Y-%m-%d}" if listed else ""
    if verdict.eligible:
        used = f"; its newest job is of {newest}" if newest else "; AWS knows no job of the last year"
        return ok(f"the account may start jobs (asked for one without a manifest: {verdict.reason}){used}")
    level = stop if account.nightly.backend == "bulk" else warning
    said = f'StartMediaAnalysisJob answered "{verdict.reason}"'
    if eligibility.speaks_of_closure(verdict.reason):
        return level(f"bulk jobs are closed to this account: {said}", _CALLS)
    grant = f"allow rekognition:StartMediaAnalysisJob: statement {_STATEMENT} of docs/iam-policy.json"
    if newest:
        return level(f"{said}; the account had a job on {newest}, so only the right is wanting", grant)
    return level(
        f"{said}; whether the policy lacks the action or bulk jobs are closed to the account cannot be told: "
        "AWS has not published what a closed account is answered",
        f"{grant}, and run again; if it stays so, they are closed: {_CALLS}",
    )


def _remembered(account: Account, verdict: Verdict) -> Iterator[Finding]:
    """What ``backend=auto`` goes by, where that is something else."""
    memory = backend.memory(account.settings, account.s3)
    try:
        known = memory.recall()
    except s3_objects.S3Error:
        return  # the lines on the work prefix say it
    if known is not None and known.eligible != verdict.eligible:
        yield warning(
            f"runs with backend=auto still go by an older answer ({'open' if known.eligible else 'closed'}) "
            f"for up to {eligibility.REMEMBERED_FOR.days} days",
            f"delete {memory.uri}; the next run asks anew",
        )


def _grant(error: Exception, operation: str) -> str:
    return refusals.remedy(error, actions=f"rekognition:{operation}", on="*", statement=_STATEMENT)
