"""Triggers for Custom Moderation adapters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from airflow.sdk import timezone
from airflow.triggers.base import TriggerEvent
from botocore.exceptions import BotoCoreError

from rekognition import metrics
from rekognition.exceptions import RekognitionError, from_botocore, to_event
from rekognition.projects.training import name_in
from rekognition.triggers import RekognitionBaseWaiterTrigger
from rekognition.waiters.states import VERSION_TRAINED_WAITER


class RekognitionProjectVersionTrainedTrigger(RekognitionBaseWaiterTrigger):
    """
    Trigger when the training of an adapter version has completed, has failed, or a moment has come.

    Its event is ``{"status": "success", "project_version_arn": …}``, or ``{"status": "error", …}`` as written
    by :func:`rekognition.exceptions.to_event`.

    :param project_arn: The ARN of the version's project.
    :param project_version_arn: The ARN of the version.
    :param poll_interval: Seconds between two looks.
    :param deadline: The moment at which the wait ends, in ISO format with its offset from UTC.
    :param aws_conn_id: The Airflow connection used for AWS credentials.
    :param region_name: The AWS region where the resources to watch are.
    :param verify: Whether or not to verify SSL certificates.
        See: https://boto3.amazonaws.com/v1/documentation/api/latest/reference/core/session.html
    :param botocore_config: Configuration dictionary (key-values) for botocore client. See:
        https://botocore.amazonaws.com/v1/documentation/api/latest/reference/config.html
    """

    def __init__(
        self,
        *,
        project_arn: str,
        project_version_arn: str,
        poll_interval: float,
        deadline: str,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            serialized_fields={
                "project_arn": project_arn,
                "project_version_arn": project_version_arn,
                "poll_interval": poll_interval,
                "deadline": deadline,
            },
            waiter_name=VERSION_TRAINED_WAITER,
            waiter_args={"ProjectArn": project_arn, "VersionNames": [name_in(project_version_arn)]},
            failure_message="Training failed.",
            status_message="Status of the adapter version is",
            status_queries=["ProjectVersionDescriptions[0].Status"],
            return_key="project_version_arn",
            return_value=project_version_arn,
            waiter_delay=0,  # run() goes by the clock, so neither of the two is used or serialized
            waiter_max_attempts=0,
            aws_conn_id=aws_conn_id,
            region_name=region_name,
            verify=verify,
            botocore_config=botocore_config,
        )
        self.project_arn = project_arn
        self.project_version_arn = project_version_arn
        self.poll_interval = poll_interval
        self.deadline = deadline

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the training and tell how it ended; every failure becomes an event that names it."""
        with metrics.collected() as refused:
            event = await self._wait()
        yield TriggerEvent({**event, "refused": dict(refused)} if refused else event)

    async def _wait(self) -> dict[str, Any]:
        left = (datetime.fromisoformat(self.deadline) - timezone.utcnow()).total_seconds()
        hook = self.hook()
        name = name_in(self.project_version_arn)
        try:
            async with await hook.get_async_conn() as client:
                await hook.async_wait_for_version(
                    client, self.project_arn, name, interval=self.poll_interval, timeout=left
                )
        except RekognitionError as error:
            return to_event(error)
        except BotoCoreError as error:
            return to_event(from_botocore(error))
        return {"status": "success", "project_version_arn": self.project_version_arn}
