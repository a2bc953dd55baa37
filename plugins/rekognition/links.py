"""Links from a task to the AWS console."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from airflow.providers.amazon.aws.links.base_aws import BASE_AWS_CONSOLE_LINK, BaseAwsLink


class RekognitionMediaAnalysisJobsLink(BaseAwsLink):
    """Helper class for constructing Amazon Rekognition Bulk Analysis console link."""

    # The console publishes no address of a single job; its list is sorted by time, newest first.
    name = "Rekognition Bulk Analysis"
    key = "rekognition_media_analysis_job"
    format_str = BASE_AWS_CONSOLE_LINK + "/rekognition/home?region={region_name}#/bulk-analysis"


class RekognitionMediaAnalysisOutputLink(BaseAwsLink):
    """Helper class for constructing the S3 console link of a media analysis job's output folder."""

    name = "Rekognition Output Folder"
    key = "rekognition_media_analysis_output"
    format_str = BASE_AWS_CONSOLE_LINK + "/s3/buckets/{bucket}?region={region_name}&prefix={prefix}"

    def format_link(self, *, prefix: str = "", **kwargs: str) -> str:
        """Format the link; a prefix may hold characters that mean something in an address."""
        return super().format_link(prefix=quote(prefix), **kwargs)


def is_aws(endpoint_url: str) -> bool:
    """Whether ``endpoint_url`` is AWS's own: only then does its console know the job."""
    host = urlsplit(endpoint_url).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws"))
