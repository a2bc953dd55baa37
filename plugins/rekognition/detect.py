"""Operator for moderating a manifest with paced DetectModerationLabels calls."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from rekognition import arguments, patience
from rekognition.constraints import check_request
from rekognition.exceptions import (
    RekognitionAccessDenied,
    RekognitionArgumentError,
    RekognitionRequestInvalid,
    RekognitionUnavailable,
)
from rekognition.hooks import RekognitionHook
from rekognition.links import is_aws

if TYPE_CHECKING:
    from airflow.sdk import Context

_ARGUMENT_OF = {
    "Image.S3Object.Bucket": "input_uri",
    "Image.S3Object.Name": "input_uri",
    "MinConfidence": "min_confidence",
    "ProjectVersion": "project_version_arn",
}


class RekognitionDetectModerationLabelsOperator(AwsBaseOperator[RekognitionHook]):
    """
    Moderate the images of a manifest with Amazon Rekognition, one DetectModerationLabels call for each.

    For accounts to which media analysis jobs (Bulk Analysis) are closed. Takes the arguments of
    :class:`~rekognition.operators.RekognitionStartMediaAnalysisJobOperator` that make sense here and leaves
    the same two files, results and manifest summary, under ``output_uri``.

    All tasks of the account and region share the quota: mapped tasks, other Dags, other machines. More tasks
    at once therefore do not finish sooner; a few are enough to keep the quota busy. Progress is kept, here
    and in S3: a retry, a cleared task and a killed worker go on where the last try was, and pay again for the
    calls that were under way at most; if the worker's disk is lost with it, for the last ten seconds' calls.
    A manifest that is finished calls nothing.

    Returns what came of it as a small dictionary: ``job_id``, ``results_uri``, ``summary_uri``, counts and
    rates; see :class:`moderation.analyse.detect.request.DetectOutcome`. Images that AWS
    refuses are entries of the summary and do not fail the task.

    .. seealso::
        https://docs.aws.amazon.com/rekognition/latest/dg/procedure-moderate-images.html

    :param input_uri: ``s3://bucket/key`` of the manifest (JSON Lines of ``{"source-ref": …}``, at most
        10,000 lines and 50 MB). (templated)
    :param output_uri: ``s3://bucket/prefix`` that receives the results and the manifest summary. (templated)
    :param job_name: How the log calls the manifest; AWS has no names for single calls. (templated)
    :param min_confidence: Least confidence, 0 to 100, of a label in the results. Default: AWS's own (50).
        (templated)
    :param project_version_arn: ARN of the Custom Moderation adapter version to use. (templated)
    :param force_new_job: Taken so that both operators can be mapped over the same arguments. Here an
        ``output_uri`` is analysed once; to analyse anew, give another. (templated)
    :param calls_per_second: Quota of the account and region, the same for all tasks. Default:
        ``MODERATION_DETECT_TPS``, else what Service Quotas says of the account, else AWS's published one
        (50 or 5). (templated)
    :param max_in_flight: Calls under way at once, and so the most that a kill can cost. Default: three
        seconds' worth of the quota.
    :param image_timeout: How long one image is tried again after throttling and disturbances.
        (default: 5 min)
    :param outage_timeout: How long nothing at all may succeed before the try fails. (default: 10 min)
    :param timeout: How long the whole may take; what is not answered then becomes an error entry that a
        later run takes up. (default: 24 h)
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

    template_fields: Sequence[str] = aws_template_fields(
        "input_uri",
        "output_uri",
        "job_name",
        "min_confidence",
        "project_version_arn",
        "force_new_job",
        "calls_per_second",
    )
    ui_color: ClassVar[str] = "#e9f2ff"

    def __init__(
        self,
        *,
        input_uri: str,
        output_uri: str,
        job_name: str | None = None,
        min_confidence: float | str | None = None,
        project_version_arn: str | None = None,
        force_new_job: bool | str = False,
        calls_per_second: float | str | None = None,
        max_in_flight: int | None = None,
        image_timeout: timedelta | float = timedelta(minutes=5),
        outage_timeout: timedelta | float = timedelta(minutes=10),
        timeout: timedelta | float = timedelta(hours=24),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input_uri = input_uri
        self.output_uri = output_uri
        self.job_name = job_name
        self.min_confidence = min_confidence
        self.project_version_arn = project_version_arn
        self.force_new_job = force_new_job
        self.calls_per_second = calls_per_second
        self.max_in_flight = max_in_flight
        self.image_timeout = patience.seconds(image_timeout, name="image_timeout")
        self.outage_timeout = patience.seconds(outage_timeout, name="outage_timeout")
        self.timeout = patience.seconds(timeout, name="timeout")
        self._told_to_end = False

    def execute(self, context: Context) -> dict[str, Any]:
        """Moderate the manifest, or what earlier tries have left of it."""
        # Here and not above: a Dag file that names this operator must parse without aiobotocore's second.
        from moderation.analyse.detect.request import DetectOptions, DetectRequest  # noqa: PLC0415
        from moderation.analyse.detect.run import run_manifest  # noqa: PLC0415
        from moderation.settings import Settings  # noqa: PLC0415
        from moderation.variables.adapters import AdapterSettings  # noqa: PLC0415

        parameters = self._checked_parameters()
        settings = Settings.from_env()
        settings = dataclasses.replace(settings, region=self.hook.conn_region_name or settings.region)
        options = DetectOptions(
            max_in_flight=self.max_in_flight,
            image_seconds=self.image_timeout,
            outage_seconds=self.outage_timeout,
            total_seconds=self.timeout,
            stopped=lambda: self._told_to_end,
            stops_without_adapter=AdapterSettings.from_env().when_expired == "wait",
        )
        request = DetectRequest(
            manifest_uri=self.input_uri,
            output_uri=self.output_uri,
            min_confidence=parameters.get("MinConfidence"),
            project_version=parameters.get("ProjectVersion"),
        )
        with _named_errors(), self._s3_client() as s3:
            quota = self._quota() or self._quota_of_account(settings, s3)
            self.log.info("Moderating %s at up to %g calls a second", self.job_name or self.input_uri, quota)
            outcome = run_manifest(
                request,
                settings=settings,
                s3=s3,
                connect=self._connector(options.in_flight(quota)),
                quota=quota,
                options=options,
            )
        self.log.info(
            "%d of %d images answered, %d failed; %d calls, %d throttled, %.1f a second; results in %s",
            outcome.billed,
            outcome.lines,
            outcome.failed,
            outcome.calls,
            outcome.throttles,
            outcome.achieved_tps,
            outcome.results_uri,
        )
        return outcome.to_dict()

    def on_kill(self) -> None:
        """Send no call any more: what is under way is paid for, and copied to S3 before the process ends."""
        self.log.warning("Told to end: no further call goes out; a later try goes on from here")
        self._told_to_end = True

    def _checked_parameters(self) -> dict[str, Any]:
        """Check the arguments against AWS's constraints; what all calls have in common is returned."""
        body = arguments.request_body(
            input_uri=self.input_uri,
            input_version_id=None,
            output_uri=self.output_uri,
            min_confidence=self.min_confidence,
            project_version_arn=self.project_version_arn,
            kms_key_id=None,
        )
        parameters: dict[str, Any] = body["OperationsConfig"]["DetectModerationLabels"]
        operation = self.hook.conn_client_meta.service_model.operation_model("DetectModerationLabels")
        check_request({"Image": body["Input"], **parameters}, operation.input_shape, _ARGUMENT_OF)
        return parameters

    def _quota(self) -> float | None:
        text = arguments.optional(str(self.calls_per_second))
        if text is None:
            return None
        try:
            quota = float(text)
        except ValueError:
            quota = 0.0
        if not 0 < quota < float("inf"):
            raise RekognitionArgumentError(f"calls_per_second must be above 0, not {self.calls_per_second!r}")
        return quota

    def _quota_of_account(self, settings: Any, s3: Any) -> float:
        """What is set, what Service Quotas says of the account, or AWS's default."""
        from moderation.analyse.detect.quota import CLIENT_CONFIG, detect_tps  # noqa: PLC0415 - as in execute

        def open_client() -> Any:
            return AwsBaseHook(
                aws_conn_id=self.aws_conn_id,
                client_type="service-quotas",
                region_name=settings.region,
                verify=self.verify,
                config=CLIENT_CONFIG,
            ).get_conn()

        asks = is_aws(self.hook.conn_client_meta.endpoint_url)
        return detect_tps(settings, s3=s3, open_client=open_client if asks else None)

    @contextmanager
    def _s3_client(self) -> Iterator[Any]:
        hook = S3Hook(
            aws_conn_id=self.aws_conn_id,
            region_name=self.region_name,
            verify=self.verify,
            config={"retries": {"max_attempts": 5, "mode": "standard"}, "connect_timeout": 10},
        )
        client = hook.get_conn()
        try:
            yield client
        finally:
            client.close()

    def _connector(self, in_flight: int) -> Callable[[], Any]:
        from moderation.analyse.detect.run import client_config  # noqa: PLC0415 - as in execute

        hook = RekognitionHook(
            aws_conn_id=self.aws_conn_id,
            region_name=self.region_name,
            verify=self.verify,
            config={**(self.botocore_config or {}), **client_config(in_flight)},
        )

        @asynccontextmanager
        async def connect() -> AsyncIterator[Any]:
            async with await hook.get_async_conn() as client:
                yield client

        return connect


@contextmanager
def _named_errors() -> Iterator[None]:
    """Tell the retry policy what kind of failure a run ended with."""
    from moderation.analyse.detect.errors import DetectDenied, DetectError  # noqa: PLC0415 - as in execute
    from moderation.errors import TransientError  # noqa: PLC0415 - as in execute

    try:
        yield
    except DetectDenied as error:
        raise RekognitionAccessDenied(str(error), code=type(error).__name__) from error
    except DetectError as error:
        found = RekognitionUnavailable if isinstance(error, TransientError) else RekognitionRequestInvalid
        raise found(str(error), code=type(error).__name__) from error
