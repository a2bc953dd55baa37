"""Hook for Amazon Rekognition."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import cached_property
from os import PathLike
from typing import Any, ClassVar, TypeVar

import tenacity
from airflow.providers.amazon.aws.hooks.base_aws import AwsBaseHook

from rekognition import patience
from rekognition.constraints import check_request
from rekognition.exceptions import RekognitionMediaAnalysisJobTimeout, RekognitionUnavailable
from rekognition.patience import StillRunning
from rekognition.projects.calls import ProjectCalls
from rekognition.waiters import looks
from rekognition.waiters.clock import SYSTEM, Clock
from rekognition.waiters.states import JOB_COMPLETE_WAITER, WAITERS_FILE

T = TypeVar("T")
Looking = Callable[[], AbstractContextManager[None]]

# ListMediaAnalysisJobs has neither filter nor paginator; a search reads at most this many pages of 100.
_SEARCH_PAGES = 50
# Room between this machine's clock and AWS's when a search stops at a time.
_CLOCK_SKEW = timedelta(hours=1)
# Seconds for which throttling and disturbances of a harmless call are ridden out.
_CALL_PATIENCE = 120.0


class RekognitionHook(ProjectCalls, AwsBaseHook):
    """
    Interact with Amazon Rekognition.

    Provide thin wrapper around :external+boto3:py:class:`boto3.client("rekognition") <Rekognition.Client>`
    and what media analysis jobs need beyond it: bounded waits, named errors, a search by name.

    Additional arguments (such as ``aws_conn_id``) may be specified and
    are passed down to the underlying AwsBaseHook.

    .. seealso::
        - :class:`airflow.providers.amazon.aws.hooks.base_aws.AwsBaseHook`
    """

    clock: ClassVar[Clock] = SYSTEM

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["client_type"] = "rekognition"
        super().__init__(*args, **kwargs)

    @cached_property
    def waiter_path(self) -> PathLike[str] | None:
        """Where `get_waiter` finds this service's waiters, synchronous and asynchronous."""
        return WAITERS_FILE

    def check_start_request(
        self,
        request: dict[str, Any],
        argument_of: dict[str, str],
        *,
        operation_name: str = "StartMediaAnalysisJob",
    ) -> None:
        """
        Check a request against AWS's constraints without sending it.

        :raises RekognitionArgumentError: naming the argument (as in ``argument_of``), the limit, the value.
        """
        operation = self.conn_client_meta.service_model.operation_model(operation_name)
        check_request(request, operation.input_shape, argument_of)

    def start_media_analysis_job(
        self,
        request: dict[str, Any],
        *,
        timeout: timedelta | float,
        limit_interval: timedelta | float | None = 30,
    ) -> str:
        """
        Start a media analysis job, or recognise the one that ``request`` has started before.

        Throttling, disturbances and "too many open jobs" are waited out; the same ClientRequestToken goes
        with every try, so that a lost answer starts no second job.

        :param request: arguments of StartMediaAnalysisJob, ``ClientRequestToken`` included.
        :param timeout: how long refusals are waited out; then the last one is raised.
        :param limit_interval: about how long to wait between tries while too many jobs are open; None raises
            RekognitionJobLimitReached at once.
        :return: the JobId.
        """
        policy = patience.start_policy(
            patience=patience.seconds(timeout, name="timeout"),
            limit_interval=(
                None if limit_interval is None else patience.seconds(limit_interval, name="limit_interval")
            ),
            log=self.log,
            clock=self.clock,
        )
        return self._call(lambda: _job_id(self.conn.start_media_analysis_job(**request)), policy=policy)

    async def async_start_media_analysis_job(
        self, client: Any, request: dict[str, Any], *, timeout: float, limit_interval: float
    ) -> str:
        """
        Start a job as `start_media_analysis_job` does, on an aiobotocore client.

        :param timeout: seconds; a try is made even if none are left.
        :param limit_interval: seconds, about, between tries while too many jobs are open.
        """
        policy = patience.start_policy(
            patience=timeout, limit_interval=limit_interval, log=self.log, clock=self.clock
        )

        async def start() -> str:
            with looks.named_errors(None):
                return _job_id(await client.start_media_analysis_job(**request))

        return await tenacity.AsyncRetrying(sleep=self.clock.pause, **policy)(start)

    def describe_job(self, job_id: str) -> dict[str, Any]:
        """
        Return the GetMediaAnalysisJob answer: Status, FailureDetails, Results, ManifestSummary and more.

        :raises RekognitionMediaAnalysisJobNotFound: if this account and region know no such job.
        """
        answer = self._call(lambda: self.conn.get_media_analysis_job(JobId=job_id), job_id=job_id)
        return {key: value for key, value in answer.items() if key != "ResponseMetadata"}

    def list_jobs(self, since: datetime | None = None) -> Iterator[dict[str, Any]]:
        """
        Yield the entries of ListMediaAnalysisJobs, newest first, at most the newest 5,000.

        :param since: stop at the first job older than this, with an hour's room for clocks.
        """
        oldest = since - _CLOCK_SKEW if since else None
        token: str | None = None
        for _ in range(_SEARCH_PAGES):
            page = self._list_page(token)
            for job in page["MediaAnalysisJobs"]:
                if oldest and job["CreationTimestamp"] < oldest:
                    return
                yield dict(job)
            token = page.get("NextToken")
            if not token:
                return
        self.log.warning("Read the newest %d jobs only; there are more", _SEARCH_PAGES * 100)

    def find_job(self, job_name: str, *, since: datetime | None = None) -> dict[str, Any] | None:
        """
        Search recent jobs, newest first, for one of this name.

        :param since: as for `list_jobs`.
        :return: its entry of ListMediaAnalysisJobs, or None.
        """
        return next((job for job in self.list_jobs(since) if job.get("JobName") == job_name), None)

    def wait_for_job(self, job_id: str, *, interval: timedelta | float, timeout: timedelta | float) -> None:
        """
        Wait until the job has succeeded.

        :param interval: time between two looks.
        :param timeout: wall time after which the wait ends, whatever the service answers.
        :raises RekognitionMediaAnalysisJobFailed: with the code and message of its FailureDetails.
        :raises RekognitionMediaAnalysisJobTimeout: when ``timeout`` has passed; the job goes on.
        """
        waiter = self.get_waiter(JOB_COMPLETE_WAITER)
        limit = patience.seconds(timeout, name="timeout")
        every = patience.seconds(interval, name="interval")
        try:
            self._wait(waiter, {"JobId": job_id}, lambda: looks.at_job(job_id), interval=every, limit=limit)
        except StillRunning as error:
            raise _timeout(job_id, limit, error.status) from None

    async def async_wait_for_job(self, client: Any, job_id: str, *, interval: float, timeout: float) -> None:
        """
        Wait as `wait_for_job` does, on an aiobotocore client; a call that hangs ends with the wait.

        :param interval: seconds between two looks.
        :param timeout: seconds; a look is taken even if none are left.
        """
        waiter = self.get_waiter(JOB_COMPLETE_WAITER, deferrable=True, client=client)
        args = {"JobId": job_id}
        try:
            await self._async_wait(
                waiter, args, lambda: looks.at_job(job_id), interval=interval, limit=timeout
            )
        except StillRunning as error:
            raise _timeout(job_id, timeout, error.status) from None
        except TimeoutError:
            raise _timeout(job_id, timeout, "unknown (no answer)") from None

    def _wait(
        self, waiter: Any, args: dict[str, Any], looking: Looking, *, interval: float, limit: float
    ) -> None:
        policy = patience.poll_policy(interval=interval, patience=limit, log=self.log, clock=self.clock)

        def look() -> None:
            with looking():
                waiter.wait(**args, WaiterConfig={"MaxAttempts": 1})

        tenacity.Retrying(sleep=self.clock.sleep, **policy)(look)

    async def _async_wait(
        self, waiter: Any, args: dict[str, Any], looking: Looking, *, interval: float, limit: float
    ) -> None:
        policy = patience.poll_policy(interval=interval, patience=limit, log=self.log, clock=self.clock)

        async def look() -> None:
            with looking():
                await waiter.wait(**args, WaiterConfig={"MaxAttempts": 1})

        async with asyncio.timeout(max(limit, 0.0) + _CALL_PATIENCE):
            await tenacity.AsyncRetrying(sleep=self.clock.pause, **policy)(look)

    def _list_page(self, token: str | None) -> dict[str, Any]:
        position = {"NextToken": token} if token else {}
        return self._call(lambda: self.conn.list_media_analysis_jobs(MaxResults=100, **position))

    def _call(
        self, call: Callable[[], T], *, job_id: str | None = None, policy: dict[str, Any] | None = None
    ) -> T:
        """Make a call under ``policy`` (default: ride out two minutes of refusals) with named errors."""

        def attempt() -> T:
            with looks.named_errors(job_id):
                return call()

        default = patience.call_policy(patience=_CALL_PATIENCE, log=self.log, clock=self.clock)
        return tenacity.Retrying(sleep=self.clock.sleep, **(policy or default))(attempt)


def _job_id(answer: dict[str, Any]) -> str:
    if "JobId" not in answer:  # cut off, or a proxy's page: as good as lost
        raise RekognitionUnavailable("StartMediaAnalysisJob answered without a JobId")
    return str(answer["JobId"])


def _timeout(job_id: str, limit: float, status: str) -> RekognitionMediaAnalysisJobTimeout:
    return RekognitionMediaAnalysisJobTimeout(
        f"not finished after {timedelta(seconds=round(limit))}; its last status was {status}. "
        "The job goes on at AWS, and a retry of the task waits for it again",
        job_id=job_id,
    )
