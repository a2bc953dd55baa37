"""Links from a task to the AWS console."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from airflow.providers.amazon.aws.links.base_aws import BASE_AWS_CONSOLE_LINK, BaseAwsLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context
    from botocore.client import ClientMeta


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


def persist_links(
    context: Context, operator: BaseOperator, *, meta: ClientMeta, job_id: str, bucket: str, prefix: str
) -> None:
    """
    Note where the console shows a job and its output; a job that is not at AWS gets empty links.

    :param meta: of the client that talks to the job's endpoint.
    """
    links = (RekognitionMediaAnalysisJobsLink, RekognitionMediaAnalysisOutputLink)
    for link in links:
        if is_aws(meta.endpoint_url):
            link.persist(
                context=context,
                operator=operator,
                region_name=meta.region_name,
                aws_partition=meta.partition,
                job_id=job_id,
                bucket=bucket,
                prefix=prefix,
            )
        elif operator.do_xcom_push:
            # An absent XCom would be logged as an error of every task.
            context["ti"].xcom_push(key=link.key, value={})


def is_aws(endpoint_url: str) -> bool:
    """Whether ``endpoint_url`` is AWS's own: only then do its console and its quotas speak of it."""
    host = urlsplit(endpoint_url).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws"))
