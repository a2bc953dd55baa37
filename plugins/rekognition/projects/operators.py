"""Operators for Custom Moderation adapters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.amazon.aws.operators.base_aws import AwsBaseOperator
from airflow.providers.amazon.aws.utils import validate_execute_complete_event
from airflow.providers.amazon.aws.utils.mixins import aws_template_fields
from airflow.sdk import ResumableJobMixin, timezone
from airflow.sdk.configuration import conf

from rekognition import metrics, patience
from rekognition.arguments import optional
from rekognition.exceptions import (
    RekognitionArgumentError,
    RekognitionVersionNotFound,
    from_event,
    from_failed_version,
)
from rekognition.hooks import RekognitionHook
from rekognition.projects import training
from rekognition.projects.triggers import RekognitionProjectVersionTrainedTrigger
from rekognition.submission import RETENTION, StateStore
from rekognition.waiters.states import VERSION_TRAINED_WAITER, job_states

if TYPE_CHECKING:
    from airflow.sdk import Context
    from pydantic import JsonValue

VERSION_KEY = "rekognition_project_version_arn"
_TRIGGERER_GRACE = timedelta(minutes=5)
_NAMES_A_CALL = 10  # DescribeProjectVersions [service-2.json]


class RekognitionCreateProjectOperator(AwsBaseOperator[RekognitionHook]):
    """
    Find the project of Custom Moderation adapters of a name, or make it; returns its ARN.

    A retry, a clear and a lost answer find the project that is there.

    .. seealso::
        https://docs.aws.amazon.com/rekognition/latest/dg/customizing-content-moderation.html

    :param project_name: The project's name. (templated)
    :param auto_update: Whether AWS trains the project's adapters anew for a newer base model; fixed when it
        is made. Default: of a new project yes, of an old one whatever it is.
    :param tags: Tags of a project that is made. (templated)
    :param wait_timeout: Wall time for which a project that is being made is waited for. (default: 10 min)
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
    template_fields: Sequence[str] = aws_template_fields("project_name", "tags")
    ui_color: ClassVar[str] = "#e9f2ff"

    def __init__(
        self,
        *,
        project_name: str,
        auto_update: bool | None = None,
        tags: dict[str, str] | None = None,
        wait_timeout: timedelta | float = timedelta(minutes=10),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.project_name = project_name
        self.auto_update = auto_update
        self.tags = tags
        self.wait_timeout = patience.seconds(wait_timeout, name="wait_timeout")

    def execute(self, context: Context) -> str:
        """Find or make the project."""
        self.hook.check_start_request(
            {"ProjectName": self.project_name},
            {"ProjectName": "project_name"},
            operation_name="CreateProject",
        )
        arn = self.hook.find_or_create_project(
            self.project_name, auto_update=self.auto_update, tags=self.tags
        )
        self.hook.wait_for_project(self.project_name, timeout=self.wait_timeout)
        return arn


class RekognitionCreateProjectVersionOperator(ResumableJobMixin, AwsBaseOperator[RekognitionHook]):
    """
    Train a version of a Custom Moderation adapter, once; returns its ARN.

    The version's name is fixed before the call and looked up before it and after a lost answer: a retry, a
    cleared task, a killed worker and a forgotten task state find the training again. Another one is started
    under the name ``…-g2`` (and so on) when the last one failed and the task is run again. AWS has no call
    that stops a training, and bills the time of one that succeeds.

    .. seealso::
        https://docs.aws.amazon.com/rekognition/latest/dg/customizing-content-moderation.html

    :param project_arn: The ARN of the project. (templated)
    :param training_uri: ``s3://bucket/key`` of the manifest of training images. (templated)
    :param output_uri: ``s3://bucket/prefix`` that receives AWS's manifests and its summary. (templated)
    :param testing_uri: ``s3://bucket/key`` of the manifest of test images; without one AWS takes them from
        the training images. (templated)
    :param version_name: The version's name; whoever asks for the same finds the same training, and fails if
        it was trained with something else. Default: of Dag, run, task and request. (templated)
    :param confidence_threshold: Threshold, 0 to 100, at which AWS's summary counts. (templated)
    :param kms_key_id: KMS key that encrypts the copies AWS makes and the files it writes. (templated)
    :param tags: Tags of the version. (templated)
    :param wait_for_completion: Whether to wait for the end of the training. (default: True)
    :param deferrable: Wait in the triggerer, not in a worker. Requires the aiobotocore module.
    :param poll_interval: Time between two looks, timedelta or seconds. (default: 60 s)
    :param wait_timeout: Wall time after which a try stops waiting. (default: 24 h)
    :param durable: Remember the version in ``task_state_store``; its name finds it also without.
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
    external_id_key = VERSION_KEY
    template_fields: Sequence[str] = aws_template_fields(
        "project_arn",
        "training_uri",
        "output_uri",
        "testing_uri",
        "version_name",
        "confidence_threshold",
        "kms_key_id",
        "tags",
    )
    ui_color: ClassVar[str] = "#e9f2ff"

    def __init__(
        self,
        *,
        project_arn: str,
        training_uri: str,
        output_uri: str,
        testing_uri: str | None = None,
        version_name: str | None = None,
        confidence_threshold: float | str | None = None,
        kms_key_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: timedelta | float = timedelta(seconds=60),
        wait_timeout: timedelta | float = timedelta(hours=24),
        durable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(durable=durable, **kwargs)
        self.project_arn = project_arn
        self.training_uri = training_uri
        self.output_uri = output_uri
        self.testing_uri = testing_uri
        self.version_name = version_name
        self.confidence_threshold = confidence_threshold
        self.kms_key_id = kms_key_id
        self.tags = tags
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = patience.seconds(poll_interval, name="poll_interval")
        self.wait_timeout = patience.seconds(wait_timeout, name="wait_timeout")

    def execute(self, context: Context) -> str:
        """Find or start the training and, as configured, wait for it."""
        body, base = self._request(context)
        store = self._store(context)
        remembered = store.get(VERSION_KEY) if store else None
        if store and remembered and not training.is_generation(training.name_in(remembered), base):
            self.log.warning("Another training than that of %s is asked for: starting it", remembered)
            store.delete(VERSION_KEY)
        elif remembered:
            training.check_same(self._described(remembered), body)
        return str(self.execute_resumable(context))

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> str:
        """Return the version's ARN, or raise what the trigger has seen."""
        outcome = validate_execute_complete_event(event)
        metrics.send(outcome.get("refused"))
        if outcome["status"] != "success":
            raise from_event(outcome)
        self.log.info("Adapter version %s is trained", outcome["project_version_arn"])
        return str(outcome["project_version_arn"])

    def on_kill(self) -> None:
        """Tell what becomes of the training: AWS has no call that stops one."""
        self.log.warning("The training goes on at AWS; a retry of this task reconnects to it")

    def submit_job(self, context: Context) -> str:
        """Start the training, or recognise that it has been started."""
        body, base = self._request(context)
        last, generation = self._last_generation(base)
        if last is not None:
            training.check_same(last, body)
            if last["Status"] not in job_states(VERSION_TRAINED_WAITER).failed:
                self.log.info("Found adapter version %s: %s", last["ProjectVersionArn"], last["Status"])
                return str(last["ProjectVersionArn"])
            self.log.warning("%s; training anew", from_failed_version(last))
            generation += 1
        name = training.generation_name(base, max(generation, 1))
        arn = self.hook.create_version({**body, "VersionName": name})
        self.log.info("Training adapter version %s", arn)
        return arn

    def get_job_status(self, external_id: JsonValue, context: Context) -> str:
        """Ask AWS for the version's status."""
        return str(self._described(str(external_id))["Status"])

    def is_job_active(self, status: str) -> bool:
        """Whether it trains; a status unknown to us is waited for."""
        states = job_states(VERSION_TRAINED_WAITER)
        return status not in states.succeeded | states.failed

    def is_job_succeeded(self, status: str) -> bool:
        """Whether the training has completed."""
        return status in job_states(VERSION_TRAINED_WAITER).succeeded

    def poll_until_complete(self, external_id: JsonValue, context: Context) -> str:
        """Wait in the way the task asks for: here, in the triggerer, or not at all."""
        arn = self.get_job_result(external_id, context)
        if not self.wait_for_completion:
            return arn
        if self.deferrable:
            timeout = timedelta(seconds=self.wait_timeout)
            self.defer(
                trigger=RekognitionProjectVersionTrainedTrigger(
                    project_arn=self.project_arn,
                    project_version_arn=arn,
                    poll_interval=self.poll_interval,
                    deadline=(timezone.utcnow() + timeout).isoformat(),
                    aws_conn_id=self.aws_conn_id,
                    region_name=self.region_name,
                    verify=self.verify,
                    botocore_config=self.botocore_config,
                ),
                method_name="execute_complete",
                timeout=timeout + _TRIGGERER_GRACE,
            )
        self.hook.wait_for_version(
            self.project_arn, training.name_in(arn), interval=self.poll_interval, timeout=self.wait_timeout
        )
        return arn

    def get_job_result(self, external_id: JsonValue, context: Context) -> str:
        """Return the version's ARN, after keeping it in mind for a year."""
        arn = str(external_id)
        if store := self._store(context):
            store.set(VERSION_KEY, arn, retention=RETENTION)
        return arn

    def _request(self, context: Context) -> tuple[dict[str, Any], str]:
        body = training.request_body(
            project_arn=self.project_arn,
            training_uri=self.training_uri,
            testing_uri=self.testing_uri,
            output_uri=self.output_uri,
            confidence_threshold=self.confidence_threshold,
            kms_key_id=self.kms_key_id,
            tags=self.tags,
        )
        ti = context["ti"]
        base = training.base_name(
            body,
            version_name=optional(self.version_name),
            asker=(ti.dag_id, ti.run_id, ti.task_id, -1 if ti.map_index is None else ti.map_index),
        )
        self.hook.check_start_request(
            {**body, "VersionName": base}, training.ARGUMENT_OF, operation_name="CreateProjectVersion"
        )
        return body, base

    def _store(self, context: Context) -> StateStore | None:
        return context.get("task_state_store") if self.durable else None

    def _last_generation(self, base: str) -> tuple[dict[str, Any] | None, int]:
        """Find the newest version of the name, and which generation it is; None and 0 if there is none."""
        last: dict[str, Any] | None = None
        generation = 0
        for first in range(1, 10_000, _NAMES_A_CALL):
            names = [training.generation_name(base, n) for n in range(first, first + _NAMES_A_CALL)]
            found = self.hook.describe_versions(self.project_arn, names)
            for number, name in enumerate(names, start=first):
                if name in found:
                    last, generation = found[name], number
            if names[-1] not in found:
                break
        return last, generation

    def _described(self, version_arn: str) -> dict[str, Any]:
        found = self.hook.describe_version(self.project_arn, training.name_in(version_arn))
        if found is None or found["ProjectVersionArn"] != version_arn:
            raise RekognitionVersionNotFound(
                "the version that this task has trained is gone from its project, and a new training would "
                "be paid for; give another version_name to train again",
                job_id=version_arn,
            )
        return found


class RekognitionDeleteProjectVersionOperator(AwsBaseOperator[RekognitionHook]):
    """
    Delete a version of an adapter and wait until it is gone; one that is gone already is done.

    A version that trains cannot be deleted.

    :param project_version_arn: The ARN of the version. (templated)
    :param poll_interval: Time between two looks, timedelta or seconds. (default: 10 s)
    :param wait_timeout: Wall time after which a try stops waiting. (default: 1 h)
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
    ui_color: ClassVar[str] = "#e9f2ff"

    def __init__(
        self,
        *,
        project_version_arn: str,
        poll_interval: timedelta | float = timedelta(seconds=10),
        wait_timeout: timedelta | float = timedelta(hours=1),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.project_version_arn = project_version_arn
        self.poll_interval = patience.seconds(poll_interval, name="poll_interval")
        self.wait_timeout = patience.seconds(wait_timeout, name="wait_timeout")

    def execute(self, context: Context) -> None:
        """Delete the version."""
        training.name_in(self.project_version_arn)
        found = self.hook.find_version(self.project_version_arn)
        if found is None:
            self.log.info("There is no adapter version %s", self.project_version_arn)
            return
        if found["Status"] != "DELETING":
            self.hook.delete_version(self.project_version_arn)
        self.hook.wait_until_gone(
            self.project_version_arn, interval=self.poll_interval, timeout=self.wait_timeout
        )


class RekognitionDeleteProjectOperator(AwsBaseOperator[RekognitionHook]):
    """
    Delete a project without versions; one that is gone already is done.

    :param project_arn: The ARN of the project. (templated)
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
    template_fields: Sequence[str] = aws_template_fields("project_arn")
    ui_color: ClassVar[str] = "#e9f2ff"

    def __init__(self, *, project_arn: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.project_arn = project_arn

    def execute(self, context: Context) -> None:
        """Delete the project."""
        if not self.project_arn.startswith("arn:"):
            raise RekognitionArgumentError(f"project_arn must be an ARN, not {self.project_arn!r}")
        self.hook.delete_project(self.project_arn)
