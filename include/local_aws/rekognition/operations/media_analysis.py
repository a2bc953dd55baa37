"""StartMediaAnalysisJob, GetMediaAnalysisJob and ListMediaAnalysisJobs."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from typing import Any

from local_aws.rekognition.images.objects import (
    ObjectForbidden,
    ObjectMissing,
    Source,
    StorageRefused,
    StorageUnavailable,
)
from local_aws.rekognition.jobs.store import Job, LedgerEntry, same_request
from local_aws.rekognition.operations import pages
from local_aws.rekognition.operations.call import Call
from local_aws.rekognition.wire.errors import S3_OBJECT_MESSAGE, ApiError, access_denied

_DEFAULT_PAGE = 100


async def start_media_analysis_job(call: Call) -> dict[str, Any]:
    """Accept a job; it is stored, and billed for, before the answer leaves."""
    job = await call.in_thread(lambda: _start(call))
    call.service.scheduler.wake()
    return {"JobId": job.job_id}


async def get_media_analysis_job(call: Call) -> dict[str, Any]:
    """Describe one job of the caller's region."""
    settings, job_id = call.service.settings, call.parameters["JobId"]
    since = time.time() - settings.retention_seconds
    job = await call.in_thread(lambda: call.service.store.find(call.identity.region, job_id, since=since))
    if job is None:
        raise ApiError("ResourceNotFoundException", f"No media analysis job was found with the id {job_id}.")
    return describe(job)


async def list_media_analysis_jobs(call: Call) -> dict[str, Any]:
    """List the region's jobs, newest first; jobs started meanwhile do not shift the pages."""
    region = call.identity.region
    limit = call.parameters.get("MaxResults", _DEFAULT_PAGE)
    before = pages.read_token(call, kind=int)
    since = time.time() - call.service.settings.retention_seconds
    jobs = await call.in_thread(
        lambda: call.service.store.newest(region, before=before, limit=limit + 1, since=since)
    )
    page = jobs[:limit]
    more = pages.token(call, page[-1].seq) if len(jobs) > limit else None
    return {"MediaAnalysisJobs": [describe(job) for job in page], "NextToken": more}


def describe(job: Job) -> dict[str, Any]:
    """Return a job in the form of GetMediaAnalysisJob's answer."""
    bucket = job.request["OutputConfig"]["S3Bucket"]
    succeeded = job.status == "SUCCEEDED"
    return {
        "JobId": job.job_id,
        "JobName": job.job_name,
        "OperationsConfig": job.request["OperationsConfig"],
        "Status": job.status,
        "FailureDetails": {"Code": job.failure_code, "Message": job.failure_message}
        if job.failure_code
        else None,
        "CreationTimestamp": job.created_at,
        "CompletionTimestamp": job.completed_at,
        "Input": job.request["Input"],
        "OutputConfig": job.request["OutputConfig"],
        "KmsKeyId": job.request.get("KmsKeyId"),
        "Results": {
            "S3Object": {"Bucket": bucket, "Name": job.results_key},
            "ModelVersions": {"Moderation": job.model_version},
        }
        if succeeded
        else None,
        "ManifestSummary": {"S3Object": {"Bucket": bucket, "Name": job.summary_key}} if succeeded else None,
    }


def _start(call: Call) -> Job:
    service, identity = call.service, call.identity
    request = {name: value for name, value in call.parameters.items() if name != "ClientRequestToken"}
    token = call.parameters.get("ClientRequestToken")
    fingerprint = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
    open_limit = service.limits.open_jobs_in(identity.region)
    if open_limit == 0:
        raise access_denied(user_arn=call.user_arn, operation="StartMediaAnalysisJob")
    token_since = time.time() - service.settings.token_memory_seconds
    known = service.store.find_by_token(identity.region, token, since=token_since) if token else None
    if known is not None:
        return same_request(known, fingerprint)
    _check_operation(call, request)
    _check_manifest(call, request["Input"]["S3Object"])
    job_id, name = secrets.token_hex(32), request.get("JobName")
    return service.store.start_job(
        job_id=job_id,
        entry=LedgerEntry(
            "job_started",
            identity.region,
            identity.access_key,
            job_id,
            name,
            _manifest_uri(request),
            request_id=call.request_id,
        ),
        request=request,
        token=token,
        fingerprint=fingerprint,
        token_since=token_since,
        draw_faults=lambda: [
            rule.to_dict() for rule in service.faults.strike("StartMediaAnalysisJob", name, jobs=True).rules
        ],
        open_limit=open_limit,
        user_arn=call.user_arn,
    )


def _check_operation(call: Call, request: dict[str, Any]) -> None:
    config = request["OperationsConfig"].get("DetectModerationLabels")
    if config is None:
        raise ApiError("InvalidParameterException", reason="OperationsConfig must name an operation")
    if "ProjectVersion" in config:
        service = call.service
        service.adapters.require_usable(config["ProjectVersion"], call.identity, service.settings.account_id)


def _check_manifest(call: Call, member: dict[str, Any]) -> None:
    if not {"Bucket", "Name"} <= member.keys():
        raise ApiError("InvalidS3ObjectException", reason="Input.S3Object must have Bucket and Name")
    try:
        size = call.service.objects.size(call.caller, Source.of(member))
    except (ObjectMissing, ObjectForbidden, StorageRefused) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ApiError("InvalidS3ObjectException", S3_OBJECT_MESSAGE, reason=reason) from None
    except StorageUnavailable as error:
        raise ApiError("InternalServerError", reason=f"S3 did not answer ({error})") from error
    limit = call.service.limits.manifest_bytes
    if not 0 < size <= limit:
        raise ApiError(
            "InvalidManifestException",
            f"The provided manifest file is empty or larger than the allowed limit: {size} of {limit} bytes.",
        )


def _manifest_uri(request: dict[str, Any]) -> str:
    source = request["Input"]["S3Object"]
    return f"s3://{source['Bucket']}/{source['Name']}"
