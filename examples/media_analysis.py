"""One media analysis job by hand: copy this file into ``dags/`` and give it a manifest of yours.

Each line of the manifest is ``{"source-ref": "s3://bucket/key"}``. The connection ``aws_default`` and the
endpoints in the environment decide whether the local services or AWS are asked.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import Param, dag, task

from rekognition.hooks import RekognitionHook
from rekognition.operators import RekognitionStartMediaAnalysisJobOperator
from rekognition.retry_policy import rekognition_retry_policy
from rekognition.sensors import RekognitionMediaAnalysisJobSensor


@dag(
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    params={
        "manifest": Param("s3://my-bucket/manifests/pictures.jsonl", type="string"),
        "output": Param("s3://my-bucket/answers/", type="string"),
        "min_confidence": Param(50.0, type="number", minimum=0, maximum=100),
    },
    default_args={
        "retries": 3,
        "retry_delay": timedelta(seconds=30),
        "retry_policy": rekognition_retry_policy(),
    },
    tags=["rekognition"],
)
def media_analysis() -> None:
    """Start a job, wait for it in the triggerer, and say where its answers are."""
    start = RekognitionStartMediaAnalysisJobOperator(
        task_id="start",
        input_uri="{{ params.manifest }}",
        output_uri="{{ params.output }}",
        min_confidence="{{ params.min_confidence }}",
        wait_for_completion=False,  # the sensor does; with True, the default, the operator waits itself
    )
    wait = RekognitionMediaAnalysisJobSensor(
        task_id="wait", job_id=start.output, deferrable=True, poke_interval=10, timeout=24 * 3600
    )

    @task
    def results(job_id: str) -> str:
        """Where the answers are; SUCCEEDED does not mean that each image has one."""
        job = RekognitionHook().describe_job(job_id)
        return f"s3://{job['Results']['S3Object']['Bucket']}/{job['Results']['S3Object']['Name']}"

    wait >> results(start.output)


media_analysis()
