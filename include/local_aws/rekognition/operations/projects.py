"""DescribeProjects and DescribeProjectVersions, for the status of adapters."""

from __future__ import annotations

from typing import Any

from local_aws.rekognition.errors import ApiError
from local_aws.rekognition.operations.call import Call

_ADAPTERS = "CONTENT_MODERATION"


async def describe_projects(call: Call) -> dict[str, Any]:
    """List the projects that fit the filters; those of adapters only if ``Features`` names their kind."""
    names = call.parameters.get("ProjectNames")
    if _ADAPTERS not in call.parameters.get("Features", []):
        return {"ProjectDescriptions": []}
    found = {
        adapter.project_arn: {
            "ProjectArn": adapter.project_arn,
            "CreationTimestamp": float(adapter.project_arn.rpartition("/")[2]) / 1000,
            "Status": "CREATED",
            "Feature": _ADAPTERS,
        }
        for adapter in call.service.adapters.of(call.identity, call.service.settings.account_id)
        if names is None or adapter.part("project") in names
    }
    return {"ProjectDescriptions": list(found.values())}


async def describe_project_versions(call: Call) -> dict[str, Any]:
    """List a project's versions with the status of each.

    :raises ApiError: ResourceNotFoundException: there is no such project.
    """
    arn, names = call.parameters["ProjectArn"], call.parameters.get("VersionNames")
    seen = call.service.adapters.of(call.identity, call.service.settings.account_id)
    versions = [adapter for adapter in seen if adapter.project_arn == arn]
    if not versions:
        raise ApiError("ResourceNotFoundException", f"The project {arn} was not found.")
    return {
        "ProjectVersionDescriptions": [
            {
                "ProjectVersionArn": adapter.arn,
                "CreationTimestamp": float(adapter.part("born")) / 1000,
                "Status": adapter.status,
                "Feature": _ADAPTERS,
            }
            for adapter in versions
            if names is None or adapter.part("version") in names
        ]
    }
