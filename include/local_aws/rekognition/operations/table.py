"""The API operations this endpoint offers; adding one means adding its handler here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from local_aws.rekognition.operations.call import Call
from local_aws.rekognition.operations.media_analysis import (
    get_media_analysis_job,
    list_media_analysis_jobs,
    start_media_analysis_job,
)
from local_aws.rekognition.operations.moderation import detect_moderation_labels
from local_aws.rekognition.operations.projects import describe_project_versions, describe_projects

Handler = Callable[[Call], Awaitable[dict[str, Any]]]

OPERATIONS: Mapping[str, Handler] = {
    "StartMediaAnalysisJob": start_media_analysis_job,
    "GetMediaAnalysisJob": get_media_analysis_job,
    "ListMediaAnalysisJobs": list_media_analysis_jobs,
    "DetectModerationLabels": detect_moderation_labels,
    "DescribeProjects": describe_projects,
    "DescribeProjectVersions": describe_project_versions,
}
