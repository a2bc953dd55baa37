"""The quotas the server keeps: AWS's published ones, each of which can be set otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from moderation.reference import limits as aws

_PROJECT_OPERATIONS = (
    "CreateProject", "DescribeProjects", "DeleteProject", "CreateProjectVersion", "DescribeProjectVersions",
    "DeleteProjectVersion", "TagResource", "UntagResource", "ListTagsForResource",
)  # fmt: skip
_BY_REGION = ("open_jobs", "running_trainings")


@dataclass(frozen=True)
class Limits:
    """What a caller may ask for; the defaults are AWS's.

    :param manifest_lines: images in one job.
    :param manifest_bytes: size of a manifest.
    :param image_bytes: size of an image in S3.
    :param raw_image_bytes: size of an image sent in the request.
    :param min_side: least width and height of an image in pixels.
    :param max_side: greatest width and height of an image in pixels.
    :param body_bytes: size of a request body.
    :param projects: projects of an account in a region.
    :param versions_per_project: versions of a project.
    :param training_images: images of a training manifest.
    :param tags: tags of a project or version.
    :param running_trainings: trainings at once, by region, where they differ from AWS's; ``*`` stands for all
        regions that are not named.
    :param open_jobs: jobs that are not over, by region, where they differ from AWS's; ``*`` stands for all
        regions that are not named. 0 means that the region has no bulk analysis.
    :param calls_per_second: by operation where it differs from AWS's; None is no limit. ``*`` stands for
        all operations that are not named.
    """

    manifest_lines: int = aws.MANIFEST_MAX_LINES
    manifest_bytes: int = aws.MANIFEST_MAX_BYTES
    image_bytes: int = aws.IMAGE_MAX_BYTES
    raw_image_bytes: int = aws.IMAGE_MAX_RAW_BYTES
    min_side: int = aws.IMAGE_MIN_PIXELS
    max_side: int = aws.IMAGE_MAX_PIXELS
    body_bytes: int = 16 * aws.MIB
    projects: int = aws.PROJECTS_PER_ACCOUNT
    versions_per_project: int = aws.VERSIONS_PER_PROJECT
    training_images: int = aws.TRAINING_MAX_IMAGES
    tags: int = 200
    running_trainings: Mapping[str, int] = field(default_factory=dict)
    open_jobs: Mapping[str, int] = field(default_factory=dict)
    calls_per_second: Mapping[str, float | None] = field(default_factory=dict)

    def open_jobs_in(self, region: str) -> int:
        """Return how many jobs may be open at once; 0 where bulk analysis is not offered."""
        set_otherwise = self.open_jobs.get(region, self.open_jobs.get("*"))
        return aws.quotas(region).bulk_concurrent_jobs if set_otherwise is None else set_otherwise

    def running_trainings_in(self, region: str) -> int:
        """Return how many trainings may run at once."""
        set_otherwise = self.running_trainings.get(region, self.running_trainings.get("*"))
        return aws.quotas(region).running_trainings if set_otherwise is None else set_otherwise

    def rate(self, operation: str, region: str) -> float | None:
        """Return an operation's calls per second in a region; None for no limit."""
        for name in (operation, "*"):
            if name in self.calls_per_second:
                return self.calls_per_second[name]
        published = aws.quotas(region)
        return {
            "StartMediaAnalysisJob": published.start_job_tps,
            "GetMediaAnalysisJob": published.get_job_tps,
            "ListMediaAnalysisJobs": published.list_jobs_tps,
            "DetectModerationLabels": published.detect_tps,
            **dict.fromkeys(_PROJECT_OPERATIONS, published.projects_tps),
        }.get(operation)

    def overridden(self, changes: Mapping[str, Any]) -> Limits:
        """Return these limits with some of them changed.

        :param changes: values by field name; ``open_jobs`` and ``running_trainings`` may also be one
            number for all regions.
        :raises ValueError: a limit of that name does not exist or its value makes no sense.
        """
        checked: dict[str, Any] = {}
        for name, value in changes.items():
            given = {"*": value} if name in _BY_REGION and _is_count(value) else value
            by_name = name in {*_BY_REGION, "calls_per_second"}
            fits = name in self.__dataclass_fields__ and isinstance(given, Mapping) == by_name
            wanted = _is_rate if name == "calls_per_second" else _is_count
            if not fits or not all(map(wanted, given.values() if by_name else [given])):
                raise ValueError(f"limits.{name} cannot be {value!r}")
            checked[name] = given
        return replace(self, **checked)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_rate(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and value > 0)
