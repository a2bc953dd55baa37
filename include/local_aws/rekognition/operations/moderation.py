"""DetectModerationLabels."""

from __future__ import annotations

import asyncio
from typing import Any

from local_aws.inference.weight import HEAD_BYTES, weigh
from local_aws.rekognition.images.objects import Source, StorageUnavailable
from local_aws.rekognition.images.parcels import Parcel
from local_aws.rekognition.jobs.store import LedgerEntry
from local_aws.rekognition.operations.call import Call
from local_aws.rekognition.wire.errors import ApiError


async def detect_moderation_labels(call: Call) -> dict[str, Any]:
    """Look at one image; it is billed before the answer leaves."""
    parameters, service = call.parameters, call.service
    if "ProjectVersion" in parameters:
        arn = parameters["ProjectVersion"]
        service.adapters.require_usable(arn, call.identity, service.settings.account_id)
    if "HumanLoopConfig" in parameters:
        flow = parameters["HumanLoopConfig"]["FlowDefinitionArn"]
        raise ApiError("ResourceNotFoundException", f"The flow definition {flow} was not found.")
    image = parameters["Image"]
    if ("Bytes" in image) == ("S3Object" in image):
        raise ApiError("InvalidParameterException", reason="Image must have either Bytes or S3Object")
    if "Bytes" in image:
        answer = await _look(call, _within_limit(image["Bytes"], service.limits.raw_image_bytes))
        source_ref = f"bytes:{image['Bytes'].sha256}"
    else:
        answer = await _look_in_s3(call, image["S3Object"])
        source_ref = f"s3://{image['S3Object']['Bucket']}/{image['S3Object']['Name']}"
    identity = call.identity
    entry = LedgerEntry(
        "detect_billed",
        identity.region,
        identity.access_key,
        source_ref=source_ref,
        request_id=call.request_id,
    )
    await call.in_thread(lambda: service.store.bill(entry))
    return answer


def _within_limit(image: Parcel, limit: int) -> Parcel:
    if image.size > limit:
        reason = f"{image.size} bytes, the limit is {limit}"
        raise ApiError("ImageTooLargeException", reason=reason)
    return image


async def _look_in_s3(call: Call, member: dict[str, Any]) -> dict[str, Any]:
    if not {"Bucket", "Name"} <= member.keys():
        raise ApiError("InvalidS3ObjectException", reason="Image.S3Object must have Bucket and Name")
    service, source = call.service, Source.of(member)
    try:
        image = await asyncio.get_running_loop().run_in_executor(
            service.calls, lambda: service.analyzer.fetch(service.objects, call.caller, source)
        )
    except StorageUnavailable as error:
        raise ApiError("InternalServerError", reason=f"S3 did not answer ({error})") from error
    with image:
        return await _look(call, image)


async def _look(call: Call, image: Parcel) -> dict[str, Any]:
    service, threshold = call.service, call.parameters.get("MinConfidence")
    lane = ("calls", call.identity.access_key)
    adapter = service.adapters.answering(call.parameters.get("ProjectVersion"))
    if call.faults.of("adapter_missing"):
        adapter = None
    return await asyncio.wrap_future(
        service.pool.submit(
            lane,
            lambda: service.analyzer.analyse(image, threshold, adapter=adapter),
            effort=weigh(image.read(HEAD_BYTES)),
        )
    )
