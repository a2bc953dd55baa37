"""Tags of projects and versions."""

from __future__ import annotations

from typing import Any

from local_aws.rekognition.adapters import require_own
from local_aws.rekognition.operations.call import Call
from local_aws.rekognition.wire.errors import ApiError


async def tag_resource(call: Call) -> dict[str, Any]:
    """Add tags; a key that is there gets the new value."""
    await _change(call, put=call.parameters["Tags"])
    return {}


async def untag_resource(call: Call) -> dict[str, Any]:
    """Take tags away; keys that are not there do not matter."""
    await _change(call, drop=call.parameters["TagKeys"])
    return {}


async def list_tags_for_resource(call: Call) -> dict[str, Any]:
    """Return all tags of a project or version."""
    arn = call.parameters["ResourceArn"]
    require_own(arn, call.identity, call.service.settings.account_id)
    tags = await call.in_thread(lambda: call.service.projects.tags(arn))
    if tags is None:
        raise _missing(arn)
    return {"Tags": tags}


async def _change(call: Call, *, put: dict[str, str] | None = None, drop: list[str] | None = None) -> None:
    arn, service = call.parameters["ResourceArn"], call.service
    require_own(arn, call.identity, service.settings.account_id)
    limit = service.limits.tags
    if not await call.in_thread(
        lambda: service.projects.change_tags(arn, put=put or {}, drop=drop or [], limit=limit)
    ):
        raise _missing(arn)


def _missing(arn: str) -> ApiError:
    return ApiError("ResourceNotFoundException", f"The resource {arn} was not found.")
