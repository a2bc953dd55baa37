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
from local_aws.rekognition.operations.projects import create_project, delete_project, describe_projects
from local_aws.rekognition.operations.tags import list_tags_for_resource, tag_resource, untag_resource
from local_aws.rekognition.operations.versions import (
    create_project_version,
    delete_project_version,
    describe_project_versions,
)

Handler = Callable[[Call], Awaitable[dict[str, Any]]]

OPERATIONS: Mapping[str, Handler] = {
    "StartMediaAnalysisJob": start_media_analysis_job,
    "GetMediaAnalysisJob": get_media_analysis_job,
    "ListMediaAnalysisJobs": list_media_analysis_jobs,
    "DetectModerationLabels": detect_moderation_labels,
    "CreateProject": create_project,
    "DescribeProjects": describe_projects,
    "DeleteProject": delete_project,
    "CreateProjectVersion": create_project_version,
    "DescribeProjectVersions": describe_project_versions,
    "DeleteProjectVersion": delete_project_version,
    "TagResource": tag_resource,
    "UntagResource": untag_resource,
    "ListTagsForResource": list_tags_for_resource,
}
