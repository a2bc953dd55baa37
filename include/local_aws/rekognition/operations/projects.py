"""Projects of adapters: made, listed, deleted."""

from __future__ import annotations

from typing import Any

from local_aws.rekognition.adapters import Project, require_own
from local_aws.rekognition.operations import pages
from local_aws.rekognition.operations.call import Call
from local_aws.rekognition.wire.errors import ApiError

ADAPTERS = "CONTENT_MODERATION"
_CUSTOM_LABELS = "CUSTOM_LABELS"
_DEFAULT_PAGE = 100


async def create_project(call: Call) -> dict[str, Any]:
    """Make a project; for adapters, ``AutoUpdate`` must be named (API reference)."""
    parameters, service = call.parameters, call.service
    feature, auto_update = parameters.get("Feature", _CUSTOM_LABELS), parameters.get("AutoUpdate")
    if (feature == ADAPTERS) != (auto_update is not None):
        reason = "AutoUpdate is required with CONTENT_MODERATION, and not allowed without"
        raise ApiError("InvalidParameterException", reason=reason)
    account = service.settings.account_id
    given = service.adapters.projects(call.identity, account)
    if any(project.name == parameters["ProjectName"] for project in given):
        raise ApiError("ResourceInUseException", reason="a project of that name is set")
    project = await call.in_thread(
        lambda: service.projects.create_project(
            name=parameters["ProjectName"],
            region=call.identity.region,
            account=account,
            feature=feature,
            auto_update=auto_update,
            tags=parameters.get("Tags", {}),
            limit=service.limits.projects - len(given),
        )
    )
    return {"ProjectArn": project.arn}


async def describe_projects(call: Call) -> dict[str, Any]:
    """List the projects that fit the filters, a page at a time; adapters' only if ``Features`` names them."""
    names = call.parameters.get("ProjectNames")
    features = call.parameters.get("Features", [_CUSTOM_LABELS])
    fitting = [
        project
        for project in await call.in_thread(lambda: visible(call))
        if project.feature in features and (names is None or project.name in names)
    ]
    page = pages.page(call, fitting, place=lambda project: project.arn, default=_DEFAULT_PAGE)
    return {
        "ProjectDescriptions": [_describe(project) for project in page["items"]],
        "NextToken": page["NextToken"],
    }


async def delete_project(call: Call) -> dict[str, Any]:
    """Delete a project that has no versions."""
    arn, service = call.parameters["ProjectArn"], call.service
    await call.in_thread(lambda: find(call, arn))
    if arn in {
        project.arn for project in service.adapters.projects(call.identity, service.settings.account_id)
    }:
        reason = "the project is set; take it out of the adapters at /_local/adapters"
        raise ApiError("ResourceInUseException", reason=reason)
    lasting = service.settings.deleting_seconds
    await call.in_thread(lambda: service.projects.delete_project(arn, lasting=lasting))
    return {"Status": "DELETING"}


def visible(call: Call) -> list[Project]:
    """The projects that a caller can see: those made here and those that are set."""
    service, account = call.service, call.service.settings.account_id
    made = [
        Project(
            found.arn, found.name, found.region, account, found.status, found.born, found.feature,
            found.auto_update,
        )
        for found in service.projects.projects()
        if found.region == call.identity.region
    ]  # fmt: skip
    known = {project.arn for project in made}
    given = service.adapters.projects(call.identity, account)
    return [*made, *(project for project in given if project.arn not in known)]


def find(call: Call, arn: str) -> Project:
    """Return a project that the caller can see.

    :raises ApiError: InvalidParameterException for one of another account or region,
        ResourceNotFoundException.
    """
    require_own(arn, call.identity, call.service.settings.account_id)
    for project in visible(call):
        if project.arn == arn:
            return project
    raise ApiError("ResourceNotFoundException", f"The project {arn} was not found.")


def _describe(project: Project) -> dict[str, Any]:
    return {
        "ProjectArn": project.arn,
        "CreationTimestamp": project.born / 1000,
        "Status": project.status,
        "Feature": project.feature,
        "AutoUpdate": project.auto_update,
    }
