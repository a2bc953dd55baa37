"""Versions of a project: trained, listed, deleted."""

from __future__ import annotations

from typing import Any

from local_aws.rekognition.adapters import Adapter, require_own
from local_aws.rekognition.jobs.store import LedgerEntry
from local_aws.rekognition.operations import pages
from local_aws.rekognition.operations.call import Call
from local_aws.rekognition.operations.projects import ADAPTERS, find
from local_aws.rekognition.training.store import Version
from local_aws.rekognition.wire.errors import ApiError

_DEFAULT_PAGE = 100
_LATEST = 10**13
"""Milliseconds since 1970 that no time of creation reaches."""


async def create_project_version(call: Call) -> dict[str, Any]:
    """Begin to train a version; whether its data is good shows later, as its status."""
    parameters, service = call.parameters, call.service
    project = await call.in_thread(lambda: find(call, parameters["ProjectArn"]))
    if project.feature != ADAPTERS:
        raise ApiError("InvalidParameterException", reason="only projects of CONTENT_MODERATION train here")
    if project.status != "CREATED":
        raise ApiError("ResourceInUseException", reason=f"the project is {project.status}")
    _check_data(parameters)
    request = {name: value for name, value in parameters.items() if name not in {"Tags", "ProjectArn"}}
    identity = call.identity
    given = [
        adapter
        for adapter in service.adapters.of(identity, service.settings.account_id)
        if adapter.project_arn == project.arn
    ]
    if any(adapter.part("version") == parameters["VersionName"] for adapter in given):
        raise ApiError("ResourceInUseException", reason="a version of that name is set")
    entry = LedgerEntry(
        "training_started",
        identity.region,
        identity.access_key,
        job_name=parameters["VersionName"],
        request_id=call.request_id,
    )
    version = await call.in_thread(
        lambda: service.projects.create_version(
            project.arn,
            name=parameters["VersionName"],
            region=identity.region,
            account=service.settings.account_id,
            request=request,
            tags=parameters.get("Tags", {}),
            entry=entry,
            base_model_version=service.analyzer.model_version,
            limit=service.limits.versions_per_project - len(given),
            running_limit=service.limits.running_trainings_in(identity.region),
        )
    )
    service.trainer.wake()
    return {"ProjectVersionArn": version.arn}


async def describe_project_versions(call: Call) -> dict[str, Any]:
    """List a project's versions with the status of each, latest first, a page at a time.

    :raises ApiError: ResourceNotFoundException: there is no such project.
    """
    arn, names = call.parameters["ProjectArn"], call.parameters.get("VersionNames")
    book, account = call.service.adapters, call.service.settings.account_id
    await call.in_thread(lambda: find(call, arn))
    trained = await call.in_thread(lambda: call.service.projects.versions(arn))
    known = {version.arn for version in trained}
    given = [
        one for one in book.of(call.identity, account) if one.project_arn == arn and one.arn not in known
    ]
    described = [
        *((version.born, version.name, _describe(version)) for version in trained),
        *((int(one.part("born")), one.part("version"), _describe_given(one)) for one in given),
    ]
    page = pages.page(
        call,
        [entry for entry in described if names is None or entry[1] in names],
        place=lambda entry: f"{_LATEST - entry[0]:014} {entry[1]}",
        default=_DEFAULT_PAGE,
    )
    return {
        "ProjectVersionDescriptions": [entry[2] for entry in page["items"]],
        "NextToken": page["NextToken"],
    }


async def delete_project_version(call: Call) -> dict[str, Any]:
    """Delete a version that does not train."""
    arn, service = call.parameters["ProjectVersionArn"], call.service
    require_own(arn, call.identity, service.settings.account_id)
    lasting = service.settings.deleting_seconds
    await call.in_thread(lambda: service.projects.delete_version(arn, lasting=lasting))
    return {"Status": "DELETING"}


def _check_data(parameters: dict[str, Any]) -> None:
    """Check what the service model cannot say of a training's data.

    :raises ApiError: InvalidParameterException.
    """
    training, testing = parameters.get("TrainingData", {}), parameters.get("TestingData", {})
    assets, splits = testing.get("Assets", []), testing.get("AutoCreate", False)
    if not training.get("Assets"):
        _refuse("TrainingData must name the manifest of an adapter's images")
    if bool(assets) == bool(splits):
        _refuse("TestingData must have either Assets or AutoCreate")
    for asset in [*training["Assets"], *assets]:
        if not {"Bucket", "Name"} <= asset.get("GroundTruthManifest", {}).get("S3Object", {}).keys():
            _refuse("an asset must be a GroundTruthManifest with Bucket and Name")
    if "S3Bucket" not in parameters["OutputConfig"]:
        _refuse("OutputConfig must name a bucket")


def _refuse(reason: str) -> None:
    raise ApiError("InvalidParameterException", reason=reason)


def _describe(version: Version) -> dict[str, Any]:
    request, result = version.request, version.result or {}
    manifest_summary = result.get("manifest_summary")
    training, testing = {"Input": request["TrainingData"]}, {"Input": request["TestingData"]}
    if "training" in result:
        training["Output"] = _asset(result["training"])
        testing["Output"] = _asset(result["testing"])
    evaluation = (
        {"F1Score": result["f1_score"], "Summary": {"S3Object": result["summary"]}}
        if "summary" in result
        else None
    )
    return {
        "ProjectVersionArn": version.arn,
        "CreationTimestamp": version.born / 1000,
        "Status": version.status,
        "StatusMessage": version.status_message,
        "BillableTrainingTimeInSeconds": version.billable_seconds,
        "TrainingEndTimestamp": version.ended_at,
        "OutputConfig": request["OutputConfig"],
        "TrainingDataResult": training,
        "TestingDataResult": testing,
        "EvaluationResult": evaluation,
        "ManifestSummary": {"S3Object": manifest_summary} if manifest_summary else None,
        "KmsKeyId": request.get("KmsKeyId"),
        "VersionDescription": request.get("VersionDescription"),
        "Feature": ADAPTERS,
        "BaseModelVersion": version.base_model_version,
        "FeatureConfig": request.get("FeatureConfig"),
    }


def _asset(place: dict[str, str]) -> dict[str, Any]:
    return {"Assets": [{"GroundTruthManifest": {"S3Object": place}}]}


def _describe_given(adapter: Adapter) -> dict[str, Any]:
    return {
        "ProjectVersionArn": adapter.arn,
        "CreationTimestamp": float(adapter.part("born")) / 1000,
        "Status": adapter.status,
        "Feature": ADAPTERS,
    }
