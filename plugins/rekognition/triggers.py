"""Triggers for Amazon Rekognition."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any, ClassVar

from airflow.providers.amazon.aws.triggers.base import AwsBaseWaiterTrigger
from airflow.triggers.base import BaseTrigger, TriggerEvent
from botocore.exceptions import BotoCoreError

from rekognition import metrics
from rekognition.exceptions import RekognitionError, from_botocore, to_event
from rekognition.hooks import RekognitionHook
from rekognition.waiters.clock import SYSTEM, Clock
from rekognition.waiters.states import JOB_COMPLETE_WAITER


class RekognitionBaseWaiterTrigger(AwsBaseWaiterTrigger):
    """Base of triggers that wait for Rekognition until a moment, so neither by delay nor by attempts."""

    aws_hook_class = RekognitionHook

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give the class path and every argument needed to build this trigger again."""
        path, kwargs = super().serialize()
        return path, {k: v for k, v in kwargs.items() if k not in ("waiter_delay", "waiter_max_attempts")}

    def hook(self) -> RekognitionHook:
        """Build the hook this trigger waits with; the class of the provider that MWAA has makes none."""
        return RekognitionHook(
            aws_conn_id=self.aws_conn_id,
            region_name=self.region_name,
            verify=self.verify,
            config=self.botocore_config,
        )


class RekognitionMediaAnalysisJobCompletedTrigger(RekognitionBaseWaiterTrigger):
    """
    Trigger when a media analysis job is complete, has failed, or a moment has come.

    Its event is ``{"status": "success", "job_id": …}``, or ``{"status": "error", "error": …, "code": …,
    "message": …, "job_id": …}`` as written by :func:`rekognition.exceptions.to_event`; looks that were
    throttled are counted in its ``"refused"``.

    :param job_id: The id of the media analysis job.
    :param poll_interval: Seconds between two looks at the job.
    :param deadline: The moment at which the wait ends, in ISO format with its offset from UTC. A moment
        rather than a length of time, so that a restarted triggerer does not begin anew.
    :param aws_conn_id: The Airflow connection used for AWS credentials.
    :param region_name: The AWS region where the resources to watch are.
    :param verify: Whether or not to verify SSL certificates.
        See: https://boto3.amazonaws.com/v1/documentation/api/latest/reference/core/session.html
    :param botocore_config: Configuration dictionary (key-values) for botocore client. See:
        https://botocore.amazonaws.com/v1/documentation/api/latest/reference/config.html
    """

    clock: ClassVar[Clock] = SYSTEM

    def __init__(
        self,
        *,
        job_id: str,
        poll_interval: float,
        deadline: str,
        aws_conn_id: str | None = "aws_default",
        region_name: str | None = None,
        verify: bool | str | None = None,
        botocore_config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(
            serialized_fields={"job_id": job_id, "poll_interval": poll_interval, "deadline": deadline},
            waiter_name=JOB_COMPLETE_WAITER,
            waiter_args={"JobId": job_id},
            failure_message="Media analysis job failed.",
            status_message="Status of the media analysis job is",
            status_queries=["Status", "FailureDetails.Code", "FailureDetails.Message"],
            return_key="job_id",
            return_value=job_id,
            waiter_delay=0,  # the base class counts attempts; this trigger overrides run() and
            waiter_max_attempts=0,  # goes by the clock, so neither of the two is used or serialized
            aws_conn_id=aws_conn_id,
            region_name=region_name,
            verify=verify,
            botocore_config=botocore_config,
        )
        self.job_id = job_id
        self.poll_interval = poll_interval
        self.deadline = deadline

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for the job and tell how it ended; every failure becomes an event that names it."""
        yield await _told(self.hook(), self._wait, job_id=self.job_id)

    async def _wait(self, hook: RekognitionHook, client: Any) -> dict[str, Any]:
        left = (datetime.fromisoformat(self.deadline) - self.clock.now()).total_seconds()
        await hook.async_wait_for_job(client, self.job_id, interval=self.poll_interval, timeout=left)
        return {"job_id": self.job_id}


class RekognitionJobSlotTrigger(BaseTrigger):
    """
    Trigger when it is time to ask again for a job slot; no slot is held and no call made meanwhile.

    Tasks that an earlier release has deferred wait by it; :class:`RekognitionJobStartTrigger` asks itself.

    :param moment: When to ask again, in ISO format with its offset from UTC.
    :param start_by: When to stop asking; handed back in the event as ``{"start_by": …}``.
    """

    clock: ClassVar[Clock] = SYSTEM

    def __init__(self, *, moment: str, start_by: str) -> None:
        super().__init__()
        self.moment = moment
        self.start_by = start_by

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give the class path and every argument needed to build this trigger again."""
        cls = type(self)
        return f"{cls.__module__}.{cls.__qualname__}", {"moment": self.moment, "start_by": self.start_by}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Sleep until the moment."""
        await self.clock.pause((datetime.fromisoformat(self.moment) - self.clock.now()).total_seconds())
        yield TriggerEvent({"start_by": self.start_by})


class RekognitionJobStartTrigger(BaseTrigger):
    """
    Trigger when a media analysis job has been started, as soon as one of the account's job slots is free.

    Its event is ``{"status": "success", "job_id": …, "start_by": …}``, or one of an error as of
    :class:`RekognitionMediaAnalysisJobCompletedTrigger`. The request has its ClientRequestToken: asked again
    by a triggerer that was restarted, it starts no second job.

    :param request: arguments of StartMediaAnalysisJob.
    :param interval: Seconds, about, between two tries.
    :param start_by: When to stop asking, in ISO format with its offset from UTC.
    :param aws: ``aws_conn_id``, ``region_name``, ``verify`` and ``config`` of the hook.
    """

    clock: ClassVar[Clock] = SYSTEM

    def __init__(
        self, *, request: dict[str, Any], interval: float, start_by: str, aws: dict[str, Any]
    ) -> None:
        super().__init__()
        self.request = request
        self.interval = interval
        self.start_by = start_by
        self.aws = aws

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give the class path and every argument needed to build this trigger again."""
        cls = type(self)
        names = ("request", "interval", "start_by", "aws")
        return f"{cls.__module__}.{cls.__qualname__}", {name: getattr(self, name) for name in names}

    def hook(self) -> RekognitionHook:
        """Build the hook this trigger asks with."""
        return RekognitionHook(**self.aws)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Ask until there is a job, and tell its id; every failure becomes an event that names it."""
        yield await _told(self.hook(), self._start)

    async def _start(self, hook: RekognitionHook, client: Any) -> dict[str, Any]:
        left = (datetime.fromisoformat(self.start_by) - self.clock.now()).total_seconds()
        job_id = await hook.async_start_media_analysis_job(
            client, self.request, timeout=left, limit_interval=self.interval
        )
        return {"job_id": job_id, "start_by": self.start_by}


async def _told(
    hook: RekognitionHook,
    ask: Callable[[RekognitionHook, Any], Awaitable[dict[str, Any]]],
    *,
    job_id: str | None = None,
) -> TriggerEvent:
    """The event of what comes of asking AWS; a failure is one that names it, refusals are counted."""
    with metrics.collected() as refused:
        try:
            async with await hook.get_async_conn() as client:
                event = {"status": "success"} | await ask(hook, client)
        except RekognitionError as error:
            event = to_event(error)
        except BotoCoreError as error:
            event = to_event(from_botocore(error, job_id=job_id))
    return TriggerEvent({**event, "refused": dict(refused)} if refused else event)
