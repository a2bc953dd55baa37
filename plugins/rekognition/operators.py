"""Operators for Amazon Rekognition."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils import validate_execute_complete_event
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.sdk import ResumableJobMixin
from airflow.sdk.configuration import conf

from rekognition import arguments, metrics, patience
from rekognition.exceptions import (
    RekognitionAccessDenied,
    RekognitionJobLimitReached,
    RekognitionThrottled,
    RekognitionUnavailable,
    from_event,
)
from rekognition.hooks import RekognitionHook
from rekognition.links import (
    RekognitionMediaAnalysisJobsLink,
    RekognitionMediaAnalysisOutputLink,
    persist_links,
)
from rekognition.submission import JOB_ID_KEY, RETENTION, StateStore, Submission, TaskIdentity, new_submission
from rekognition.triggers import RekognitionJobStartTrigger, RekognitionMediaAnalysisJobCompletedTrigger
from rekognition.waiters.clock import SYSTEM, Clock
from rekognition.waiters.states import job_states

if TYPE_CHECKING:
    from airflow.sdk import Context
    from pydantic import JsonValue

# How long a worker of a deferrable task rides out throttling before it gives its slot back.
_RIDE_OUT = timedelta(minutes=1)
# The triggerer ends the wait itself; only if it is gone, the scheduler does so this much later.
_TRIGGERER_GRACE = timedelta(minutes=5)


class RekognitionStartMediaAnalysisJobOperator(ResumableJobMixin, AwsBaseOperator[RekognitionHook]):
    """
    Moderate the images of a manifest with an Amazon Rekognition media analysis job (Bulk Analysis).

    A task instance starts, and pays for, one job: a retry, a cleared task, a killed worker and a lost answer
    all find it again, by its stored id, by its idempotency token, or by its name, in this order of trust. A
    new job is started when the last one has FAILED, when the manifest or the settings are other ones, or when
    ``force_new_job`` says so. AWS has no call that stops a job.

    Returns the job's id. Where the results are is told by
    :meth:`rekognition.hooks.RekognitionHook.describe_job`. SUCCEEDED does not mean that every image was
    analysed: read the manifest summary.

    .. seealso::
        https://docs.aws.amazon.com/rekognition/latest/dg/bulk-analysis.html

    :param input_uri: ``s3://bucket/key`` of the manifest (JSON Lines of ``{"source-ref": …}``, at most
        10,000 lines and 50 MB), in the client's region. (templated)
    :param output_uri: ``s3://bucket/prefix`` that receives the results and the manifest summary. (templated)
    :param job_name: What the job's name begins with; the generation and a digest are added. Default: the ids
        of the Dag and the task. (templated)
    :param min_confidence: Least confidence, 0 to 100, of a label in the results. Default: AWS's own (50).
        (templated)
    :param project_version_arn: ARN of the Custom Moderation adapter version to use. (templated)
    :param input_version_id: S3 version of the manifest. (templated)
    :param kms_key_id: KMS key that encrypts the images copied and the files written. (templated)
    :param force_new_job: Start (and pay for) a new job in this run or after this clearing, once, even if one
        exists. (templated)
    :param wait_for_completion: Whether to wait for the job to end. (default: True)
    :param deferrable: Wait in the triggerer, not in a worker, for the job and for a free job slot. Requires
        the aiobotocore module. With ``wait_for_completion=False`` only the slot is waited for.
    :param poll_interval: Time between two looks at the job, and between two tries to start it while too many
        are open, timedelta or seconds. Both are made more often at first. (default: 30 s)
    :param wait_timeout: Wall time after which a try stops waiting for the job. (default: 24 h)
    :param start_timeout: Wall time for which a try waits while AWS refuses to start the job because too many
        are open, or throttles. (default: 6 h)
    :param durable: Remember the job in ``task_state_store``. When ``False``, each try starts a job.
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
    clock: ClassVar[Clock] = SYSTEM
    external_id_key = JOB_ID_KEY
    operator_extra_links = (RekognitionMediaAnalysisJobsLink(), RekognitionMediaAnalysisOutputLink())

    template_fields: Sequence[str] = aws_template_fields(
        "input_uri",
        "output_uri",
        "job_name",
        "min_confidence",
        "project_version_arn",
        "input_version_id",
        "kms_key_id",
        "force_new_job",
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
        input_version_id: str | None = None,
        kms_key_id: str | None = None,
        force_new_job: bool | str = False,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: timedelta | float = timedelta(seconds=30),
        wait_timeout: timedelta | float = timedelta(hours=24),
        start_timeout: timedelta | float = timedelta(hours=6),
        durable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(durable=durable, **kwargs)
        self.input_uri = input_uri
        self.output_uri = output_uri
        self.job_name = job_name
        self.min_confidence = min_confidence
        self.project_version_arn = project_version_arn
        self.input_version_id = input_version_id
        self.kms_key_id = kms_key_id
        self.force_new_job = force_new_job
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = patience.seconds(poll_interval, name="poll_interval")
        self.wait_timeout = patience.seconds(wait_timeout, name="wait_timeout")
        self.start_timeout = patience.seconds(start_timeout, name="start_timeout")
        self._start_by: datetime | None = None

    def execute(self, context: Context) -> str:
        """Find or start the job and, as configured, wait for it."""
        body = self._request_body()
        self._leave_other_work(context, body)
        return str(self.execute_resumable(context))

    def start_again(self, context: Context, event: dict[str, Any] | None = None) -> str:
        """Go on where a full job quota had the task deferred."""
        outcome = validate_execute_complete_event(event)
        metrics.send(outcome.get("refused"))
        if outcome.get("status") == "error":
            raise from_event(outcome)
        self._start_by = datetime.fromisoformat(outcome["start_by"])
        store = self._store(context)
        if "job_id" in outcome and store and (remembered := Submission.load(store)):
            remembered.answered(outcome["job_id"]).save(store)
        return self.execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> str:
        """Return the job's id, or raise what the trigger has seen."""
        outcome = validate_execute_complete_event(event)
        metrics.send(outcome.get("refused"))
        if outcome["status"] != "success":
            raise from_event(outcome)
        self.log.info("Media analysis job %s has succeeded", outcome["job_id"])
        return str(outcome["job_id"])

    def on_kill(self) -> None:
        """Tell what becomes of the job: AWS has no call that stops one."""
        self.log.warning("The media analysis job goes on at AWS; a retry of this task reconnects to it")

    def submit_job(self, context: Context) -> str:
        """Start the job of the current generation, or recognise that it has been started."""
        store = self._store(context)
        submission, may_have_arrived = self._current_submission(context, store)
        if may_have_arrived:
            job_id, status = self._find(submission)
            if job_id and status not in job_states().failed:
                submission.answered(job_id).save(store)
                return job_id
            if job_id:
                submission = self._new_submission(context, submission.generation + 1)
        submission = submission.sent(self.clock.now()).save(store)
        job_id = self._start(submission)
        submission.answered(job_id).save(store)
        self.log.info(
            "Started media analysis job %s, named %s (generation %d)",
            job_id,
            submission.request["JobName"],
            submission.generation,
        )
        return job_id

    def get_job_status(self, external_id: JsonValue, context: Context) -> str:
        """Ask AWS for the job's status."""
        return str(self.hook.describe_job(str(external_id))["Status"])

    def is_job_active(self, status: str) -> bool:
        """Whether the job is neither SUCCEEDED nor FAILED; a status unknown to us is waited for."""
        return status not in job_states().succeeded | job_states().failed

    def is_job_succeeded(self, status: str) -> bool:
        """Whether the job has SUCCEEDED."""
        return status in job_states().succeeded

    def poll_until_complete(self, external_id: JsonValue, context: Context) -> str:
        """Wait for the job in the way the task asks for: here, in the triggerer, or not at all."""
        job_id = self.get_job_result(external_id, context)
        if not self.wait_for_completion:
            return job_id
        if self.deferrable:
            timeout = timedelta(seconds=self.wait_timeout)
            self.defer(
                trigger=RekognitionMediaAnalysisJobCompletedTrigger(
                    job_id=job_id,
                    poll_interval=self.poll_interval,
                    deadline=(self.clock.now() + timeout).isoformat(),
                    aws_conn_id=self.aws_conn_id,
                    region_name=self.region_name,
                    verify=self.verify,
                    botocore_config=self.botocore_config,
                ),
                method_name="execute_complete",
                timeout=timeout + _TRIGGERER_GRACE,
            )
        self.hook.wait_for_job(job_id, interval=self.poll_interval, timeout=self.wait_timeout)
        return job_id

    def get_job_result(self, external_id: JsonValue, context: Context) -> str:
        """Return the job's id, after noting its links and keeping it in mind as long as AWS does."""
        job_id = str(external_id)
        if store := self._store(context):
            store.set(JOB_ID_KEY, job_id, retention=RETENTION)
        bucket, prefix = arguments.split_uri("output_uri", self.output_uri)
        persist_links(
            context, self, meta=self.hook.conn_client_meta, job_id=job_id, bucket=bucket, prefix=prefix
        )
        return job_id

    def _request_body(self) -> dict[str, Any]:
        body = arguments.request_body(
            input_uri=self.input_uri,
            input_version_id=self.input_version_id,
            output_uri=self.output_uri,
            min_confidence=self.min_confidence,
            project_version_arn=self.project_version_arn,
            kms_key_id=self.kms_key_id,
        )
        name = arguments.optional(self.job_name)
        self.hook.check_start_request({**body, **({"JobName": name} if name else {})}, arguments.ARGUMENT_OF)
        return body

    def _store(self, context: Context) -> StateStore | None:
        return context.get("task_state_store") if self.durable else None

    def _leave_other_work(self, context: Context, body: dict[str, Any]) -> None:
        """Begin a new generation if the remembered job is not the one now asked for."""
        store = self._store(context)
        remembered = Submission.load(store) if store else None
        if store is None or remembered is None:
            return
        forced = arguments.flag("force_new_job", self.force_new_job)
        if forced and remembered.round != context["ti"].max_tries:
            self.log.info("force_new_job: leaving job %s and starting another", remembered.job_id)
        elif not remembered.same_work(body):
            self.log.warning(
                "Manifest or settings differ from those of job %s: starting another. Then: %s; now: %s",
                remembered.job_id,
                remembered.request,
                body,
            )
        else:
            return
        # In this order: a crash in between forgets an id that the record still holds, and comes here again.
        store.delete(JOB_ID_KEY)
        self._new_submission(context, remembered.generation + 1).save(store)

    def _current_submission(self, context: Context, store: StateStore | None) -> tuple[Submission, bool]:
        """Return the generation to start, and whether its request may have reached AWS already."""
        ti = context["ti"]
        if store is None:
            return self._new_submission(context, ti.try_number), False
        if remembered := Submission.load(store):
            return remembered, remembered.sent_at is not None
        return self._new_submission(context, 1), ti.try_number > 1

    def _new_submission(self, context: Context, generation: int) -> Submission:
        ti = context["ti"]
        return new_submission(
            TaskIdentity(ti.dag_id, ti.run_id, ti.task_id, -1 if ti.map_index is None else ti.map_index),
            generation=generation,
            # Clearing a task raises max_tries, retrying it does not: that tells the two apart.
            round=ti.max_tries,
            body=self._request_body(),
            job_name=arguments.optional(self.job_name),
        )

    def _find(self, submission: Submission) -> tuple[str | None, str | None]:
        """Look for the job of ``submission``: by its id, else by its name."""
        if submission.job_id:
            return submission.job_id, str(self.hook.describe_job(submission.job_id)["Status"])
        since = datetime.fromisoformat(submission.sent_at) if submission.sent_at else None
        try:
            job = self.hook.find_job(submission.request["JobName"], since=since)
        except RekognitionAccessDenied as error:
            self.log.warning("Cannot search for a job already started (%s); relying on its token", error)
            return None, None
        return (job["JobId"], job["Status"]) if job else (None, None)

    def _start(self, submission: Submission) -> str:
        start_by = self._start_by or self.clock.now() + timedelta(seconds=self.start_timeout)
        left = max((start_by - self.clock.now()).total_seconds(), 1.0)
        if not self.deferrable:
            return self.hook.start_media_analysis_job(
                submission.request, timeout=left, limit_interval=self.poll_interval
            )
        try:
            return self.hook.start_media_analysis_job(
                submission.request, timeout=min(left, _RIDE_OUT.total_seconds()), limit_interval=None
            )
        except (RekognitionJobLimitReached, RekognitionThrottled, RekognitionUnavailable) as error:
            if self.clock.now() >= start_by:
                raise
            metrics.count_refusal(error)
            self.log.info("%s; the triggerer asks again", error)
        self.defer(
            trigger=RekognitionJobStartTrigger(
                request=submission.request,
                interval=self.poll_interval,
                start_by=start_by.isoformat(),
                aws=self._hook_parameters,
            ),
            method_name="start_again",
            timeout=timedelta(seconds=left) + _TRIGGERER_GRACE,
        )
        raise AssertionError("defer() does not return")
