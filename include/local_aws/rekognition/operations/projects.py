"""DescribeProjects and DescribeProjectVersions, for the status of adapters."""

from __future__ import annotations

from typing import Any

from local_aws.rekognition.adapters import Adapter, Project
from local_aws.rekognition.operations import pages
from local_aws.rekognition.operations.call import Call
from local_aws.rekognition.wire.errors import ApiError

_ADAPTERS = "CONTENT_MODERATION"
_DEFAULT_PAGE = 100
_LATEST = 10**13
"""Milliseconds since 1970 that no time of creation reaches."""


async def describe_projects(call: Call) -> dict[str, Any]:
    """List the projects that fit the filters, a page at a time; adapters' only if ``Features`` names them."""
    names = call.parameters.get("ProjectNames")
    seen = call.service.adapters.projects(call.identity, call.service.settings.account_id)
    fitting = [
        project
        for project in seen
        if _ADAPTERS in call.parameters.get("Features", []) and (names is None or project.name in names)
    ]
    page = pages.page(call, fitting, place=lambda project: project.arn, default=_DEFAULT_PAGE)
    return {
        "ProjectDescriptions": [_describe_project(project) for project in page["items"]],
        "NextToken": page["NextToken"],
    }


async def describe_project_versions(call: Call) -> dict[str, Any]:
    """List a project's versions with the status of each, latest first, a page at a time.

    :raises ApiError: ResourceNotFoundException: there is no such project.
    """
    arn, names = call.parameters["ProjectArn"], call.parameters.get("VersionNames")
    book, account = call.service.adapters, call.service.settings.account_id
    if arn not in {project.arn for project in book.projects(call.identity, account)}:
        raise ApiError("ResourceNotFoundException", f"The project {arn} was not found.")
    fitting = [
        adapter
        for adapter in book.of(call.identity, account)
        if adapter.project_arn == arn and (names is None or adapter.part("version") in names)
    ]
    page = pages.page(call, fitting, place=_place, default=_DEFAULT_PAGE)
    return {
        "ProjectVersionDescriptions": [_describe_version(adapter) for adapter in page["items"]],
        "NextToken": page["NextToken"],
    }


def _place(adapter: Adapter) -> str:
    return f"{_LATEST - int(adapter.part('born')):014} {adapter.part('version')}"


def _describe_project(project: Project) -> dict[str, Any]:
    return {
        "ProjectArn": project.arn,
        "CreationTimestamp": project.born / 1000,
        "Status": project.status,
        "Feature": _ADAPTERS,
    }


def _describe_version(adapter: Adapter) -> dict[str, Any]:
    return {
        "ProjectVersionArn": adapter.arn,
        "CreationTimestamp": float(adapter.part("born")) / 1000,
        "Status": adapter.status,
        "Feature": _ADAPTERS,
    }
