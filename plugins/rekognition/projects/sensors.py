"""Sensors for Custom Moderation adapters."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.amazon.aws.sensors.base_aws import AwsBaseSensor
from airflow.providers.amazon.aws.utils import validate_execute_complete_event
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.sdk import timezone
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowSensorTimeout

from rekognition import metrics
from rekognition.exceptions import (
    RekognitionThrottled,
    RekognitionTrainingTimeout,
    RekognitionUnavailable,
    RekognitionVersionNotFound,
    from_event,
    from_failed_version,
)
from rekognition.hooks import RekognitionHook
from rekognition.projects.training import name_in, project_in
from rekognition.projects.triggers import RekognitionProjectVersionTrainedTrigger
from rekognition.waiters.states import VERSION_TRAINED_WAITER, job_states

if TYPE_CHECKING:
    from airflow.sdk import Context

_TRIGGERER_GRACE = timedelta(minutes=5)


class RekognitionProjectVersionSensor(AwsBaseSensor[RekognitionHook]):
    """
    Poll an adapter version until its training has completed; fails with AWS's StatusMessage if it failed.

    :param project_version_arn: The ARN of the version. (templated)
    :param deferrable: If True, the sensor waits in the triggerer. This mode requires aiobotocore
        module to be installed.
        (default: False, but can be overridden in config file by setting default_deferrable to True)
    :param poke_interval: Time between two looks, timedelta or seconds. (default: 60 s)
    :param timeout: Wall time after which the sensor gives up, timedelta or seconds. (default: 7 days)
    :param aws_conn_id: The Airflow connection used for AWS credentials.
        If this is ``None`` or empty then the default boto3 behaviour is used. If
        running Airflow in a distributed manner and aws_conn_id is None or
        empty, then default boto3 configuration would be used (and must be
        maintained on each worker node).
    :param region_name: AWS region_name. If not specified then the default boto3 behaviour is used.
    :param verify: Whether to verify SSL certificates. See:
        https://boto3.amazonaws.com/v1/documentation/api/latest/reference/core/session.html
    :param botocore_config: Configuration dictionary (key-values) for botocore client. See:
        https://botocore.amazonaws.com/v1/documentation/api/latest/reference/config.html
    """

    aws_hook_class = RekognitionHook
    template_fields: Sequence[str] = aws_template_fields("project_version_arn")

    def __init__(
        self,
        *,
        project_version_arn: str,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.project_version_arn = project_version_arn
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        """Wait in a worker or, if deferrable, in the triggerer."""
        if not self.deferrable:
            return super().execute(context=context)
        name_in(self.project_version_arn)
        project = self.hook.find_project(project_in(self.project_version_arn))
        if project is None:
            raise _unknown(self.project_version_arn)
        timeout = timedelta(seconds=self.timeout)
        return self.defer(
            trigger=RekognitionProjectVersionTrainedTrigger(
                project_arn=project["ProjectArn"],
                project_version_arn=self.project_version_arn,
                poll_interval=self.poke_interval,
                deadline=(timezone.utcnow() + timeout).isoformat(),
                aws_conn_id=self.aws_conn_id,
                region_name=self.region_name,
                verify=self.verify,
                botocore_config=self.botocore_config,
            ),
            method_name="execute_complete",
            timeout=timeout + _TRIGGERER_GRACE,
        )

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> None:
        """End well, or raise what the trigger has seen."""
        outcome = validate_execute_complete_event(event)
        metrics.send(outcome.get("refused"))
        if outcome["status"] == "success":
            return
        error = from_event(outcome)
        if isinstance(error, RekognitionTrainingTimeout):
            raise AirflowSensorTimeout(str(error)) from error
        raise error

    def poke(self, context: Context) -> bool:
        """Look at the version once; a throttled look counts as "not yet", bounded by ``timeout``."""
        try:
            version = self.hook.find_version(self.project_version_arn)
        except (RekognitionThrottled, RekognitionUnavailable) as error:
            metrics.count_refusal(error)
            self.log.warning("%s", error)
            return False
        if version is None:
            raise _unknown(self.project_version_arn)
        states = job_states(VERSION_TRAINED_WAITER)
        self.log.info("Adapter version %s: status %s", self.project_version_arn, version["Status"])
        if version["Status"] in states.failed:
            raise from_failed_version(version)
        return version["Status"] in states.succeeded


def _unknown(version_arn: str) -> RekognitionVersionNotFound:
    return RekognitionVersionNotFound(
        "this account and region know no such version. Check the connection; a deleted version is gone",
        job_id=version_arn,
    )
