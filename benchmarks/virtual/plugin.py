"""The plugin's own operator, hook and triggers, under a virtual clock and with a client that is no wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any

import boto3
from botocore.exceptions import WaiterError

from rekognition import operators, triggers
from rekognition.hooks import RekognitionHook
from rekognition.waiters.states import job_states
from virtual.service import Service


@cache
def _meta() -> Any:
    """Of a real client: AWS's service model, against which requests are checked."""
    key = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}
    client = boto3.client("rekognition", region_name="us-east-1", **key)
    return client.meta


class _Waiter:
    """One look, with the outcome of botocore's waiter that was given one attempt."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def wait(self, *, JobId: str, WaiterConfig: Any) -> None:
        try:
            answer = self._service.get_media_analysis_job(JobId=JobId)
        except Exception as error:
            response = getattr(error, "response", {})
            raise WaiterError("look", "error", last_response=response) from error
        if answer["Status"] not in job_states().succeeded:
            raise WaiterError("look", "not yet", last_response=answer)


class Plugin:
    """The classes of the plugin for one service and its clock."""

    def __init__(self, service: Service) -> None:
        clock = service.loop.clock()

        class Hook(RekognitionHook):
            conn_client_meta = property(lambda _: _meta())  # type: ignore[assignment]
            conn = property(lambda _: service)  # type: ignore[assignment]

            async def get_async_conn(self) -> Any:
                @asynccontextmanager
                async def client() -> AsyncIterator[Any]:
                    yield _Async(service)

                return client()

            def get_waiter(self, *_: Any, **__: Any) -> Any:
                return _Waiter(service)

        class Operator(operators.RekognitionStartMediaAnalysisJobOperator):
            aws_hook_class = Hook

        class Completed(triggers.RekognitionMediaAnalysisJobCompletedTrigger):
            def hook(self) -> Hook:
                return Hook(aws_conn_id=None)

        class Start(triggers.RekognitionJobStartTrigger):
            def hook(self) -> Hook:
                return Hook(aws_conn_id=None)

        for kind in (Hook, Operator, Completed, Start):
            kind.clock = clock
        self.operator = Operator
        self._triggers = {
            f"{kind.__module__}.{kind.__qualname__}": own
            for kind, own in (
                (triggers.RekognitionMediaAnalysisJobCompletedTrigger, Completed),
                (triggers.RekognitionJobStartTrigger, Start),
            )
        }

    def rebuilt(self, trigger: Any) -> Any:
        """The trigger as the triggerer makes it, from what is stored of it."""
        path, kwargs = trigger.serialize()
        return self._triggers[path](**kwargs)


class _Async:
    """The service as an aiobotocore client."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def start_media_analysis_job(self, **request: Any) -> dict[str, Any]:
        return self._service.start_media_analysis_job(**request)


class Store(dict[str, Any]):
    """`task_state_store`."""

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        self[key] = value

    def delete(self, key: str) -> None:
        self.pop(key, None)


def instance(run_id: str, map_index: int) -> SimpleNamespace:
    """A task instance, as far as the operator asks it something."""
    return SimpleNamespace(
        dag_id="moderate_images",
        run_id=run_id,
        task_id="analyse",
        map_index=map_index,
        try_number=1,
        max_tries=3,
        stats_tags={},
        xcom_push=lambda **_: None,
    )
