"""AWS's limits as data.

Source: Rekognition developer guide, "Guidelines and quotas"; AWS general reference, "Rekognition endpoints".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

MIB = 1024 * 1024


@lru_cache(maxsize=1)
def _quotas() -> dict[str, Any]:
    text = resources.files(__package__).joinpath("data", "quotas.json").read_text(encoding="utf-8")
    quotas: dict[str, Any] = json.loads(text)
    return quotas


_FIXED = _quotas()["fixed"]

MANIFEST_MAX_LINES: int = _FIXED["bulk_max_images_per_job"]
MANIFEST_MAX_BYTES: int = _FIXED["bulk_max_manifest_mb"] * 1_000_000
"""AWS says "50 MB"; manifests are cut by the smaller of its two readings."""
IMAGE_MAX_BYTES: int = _FIXED["image_max_s3_mb"] * MIB
"""Largest image in S3. "15 MB" in its larger reading, as AWS's 5 MB for raw bytes is 5,242,880: only what is
certain to be refused is rejected before the call."""
IMAGE_MAX_RAW_BYTES: int = _FIXED["image_max_raw_bytes"]
IMAGE_MIN_PIXELS: int = _FIXED["image_min_px"]
IMAGE_MAX_PIXELS: int = _FIXED["moderation_max_px"]
_ADAPTERS = _quotas()["custom_labels_quotas_possibly_shared_with_adapters_UNCONFIRMED"]
PROJECTS_PER_ACCOUNT: int = _ADAPTERS["projects_per_account"]
VERSIONS_PER_PROJECT: int = _ADAPTERS["models_per_project"]
TRAINING_MAX_IMAGES: int = _ADAPTERS["adapter_training_images_max"]
KEY_MAX_BYTES = 1024
"""S3's limit for a key, in bytes of UTF-8."""


@dataclass(frozen=True)
class RegionQuotas:
    """What an account may do at once in a region, by default.

    :param detect_tps: DetectModerationLabels calls a second.
    :param bulk_concurrent_jobs: media analysis jobs at once; 0 where AWS does not offer them.
    :param start_job_tps: StartMediaAnalysisJob calls a second.
    :param get_job_tps: GetMediaAnalysisJob calls a second.
    :param list_jobs_tps: ListMediaAnalysisJobs calls a second.
    :param projects_tps: calls a second of each operation on projects and their versions.
    :param running_trainings: trainings of adapters at once; published for Custom Labels, not for adapters.
    """

    detect_tps: float
    bulk_concurrent_jobs: int
    start_job_tps: float
    get_job_tps: float
    list_jobs_tps: float
    projects_tps: float
    running_trainings: int


def bulk_regions() -> list[str]:
    """Where AWS lists media analysis jobs, by name."""
    return sorted(name for name, at_once in _quotas()["bulk_concurrent_jobs"].items() if at_once)


def quotas(region: str) -> RegionQuotas:
    """Default quotas of ``region``; a region AWS does not list gets the lower figures."""
    tps = _quotas()["tps"]
    detect, trainings = tps["DetectModerationLabels"], _ADAPTERS["concurrent_training_jobs"]
    return RegionQuotas(
        detect_tps=detect.get(region, detect["other"]),
        bulk_concurrent_jobs=_quotas()["bulk_concurrent_jobs"].get(region, 0),
        start_job_tps=tps["StartMediaAnalysisJob"],
        get_job_tps=tps["GetMediaAnalysisJob"],
        list_jobs_tps=tps["ListMediaAnalysisJobs"],
        projects_tps=next(rate for name, rate in tps.items() if "CreateProject" in name),
        running_trainings=trainings.get(region, trainings["default"]),
    )
