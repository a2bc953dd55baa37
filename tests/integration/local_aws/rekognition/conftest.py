"""Fixtures of these tests alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def bucket(bucket: str, s3_client: Any) -> Iterator[str]:
    """The shared fixture's bucket, removed after the test.

    SeaweedFS gives each bucket a volume of its own and has only so many for the disk's free space, which
    these many tests would use up.
    """
    yield bucket
    versions = s3_client.list_object_versions(Bucket=bucket)
    for entry in versions.get("Versions", []) + versions.get("DeleteMarkers", []):
        s3_client.delete_object(Bucket=bucket, Key=entry["Key"], VersionId=entry["VersionId"])
    for entry in s3_client.list_objects_v2(Bucket=bucket).get("Contents", []):
        s3_client.delete_object(Bucket=bucket, Key=entry["Key"])
    s3_client.delete_bucket(Bucket=bucket)
