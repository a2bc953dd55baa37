"""DescribeProjects and DescribeProjectVersions: this endpoint trains no adapters, so it knows none."""

from __future__ import annotations

from typing import Any

from local_aws.rekognition.errors import ApiError
from local_aws.rekognition.operations.call import Call


async def describe_projects(call: Call) -> dict[str, Any]:
    """List the projects that fit the filters: none."""
    return {"ProjectDescriptions": []}


async def describe_project_versions(call: Call) -> dict[str, Any]:
    """Refuse, as AWS does for a project that is not there."""
    arn = call.parameters["ProjectArn"]
    raise ApiError("ResourceNotFoundException", f"The project {arn} was not found.")
