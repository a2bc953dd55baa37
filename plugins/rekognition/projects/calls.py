"""What the hook does with projects and versions of Custom Moderation adapters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

import tenacity

from rekognition import patience
from rekognition.exceptions import (
    RekognitionNameTaken,
    RekognitionRequestInvalid,
    RekognitionResourceInUse,
    RekognitionTrainingTimeout,
    RekognitionUnavailable,
)
from rekognition.patience import StillRunning
from rekognition.projects import training
from rekognition.waiters import looks
from rekognition.waiters.clock import Clock
from rekognition.waiters.states import PROJECT_CREATED_WAITER, VERSION_TRAINED_WAITER

CONTENT_MODERATION = "CONTENT_MODERATION"


class ProjectCalls:
    """Part of :class:`rekognition.hooks.RekognitionHook`."""

    if TYPE_CHECKING:
        clock: ClassVar[Clock]
        conn: Any
        get_waiter: Callable[..., Any]
        log: Any
        _call: Callable[..., Any]
        _wait: Callable[..., None]
        _async_wait: Callable[..., Any]

    def find_project(self, name: str) -> dict[str, Any] | None:
        """Return the DescribeProjects entry of the project of adapters of this name, or None."""
        # Without Features, projects of adapters are invisible.
        answer = self._call(
            lambda: self.conn.describe_projects(ProjectNames=[name], Features=[CONTENT_MODERATION])
        )
        return next(iter(answer["ProjectDescriptions"]), None)

    def find_or_create_project(
        self, name: str, *, auto_update: bool | None = None, tags: dict[str, str] | None = None
    ) -> str:
        """
        Return the ARN of the project of adapters of this name; make it if there is none.

        :param auto_update: whether AWS trains its adapters anew for a newer base model, which is fixed when a
            project is made (None: of a new one yes, of an old one whatever it is).
        :raises RekognitionNameTaken: a project of this name is of another feature or of the other setting.
        """
        found = self.find_project(name)
        if found is None:
            wanted = "DISABLED" if auto_update is False else "ENABLED"
            request = {"ProjectName": name, "Feature": CONTENT_MODERATION, "AutoUpdate": wanted}
            if tags:
                request["Tags"] = tags  # type: ignore[assignment]
            try:
                return str(self._call(lambda: self.conn.create_project(**request))["ProjectArn"])
            except RekognitionResourceInUse as error:
                # An answer that was lost, somebody quicker, or a project of another feature.
                found = self.find_project(name)
                if found is None:
                    raise RekognitionNameTaken(
                        f"there is a project {name!r} that is none of adapters; give another project_name",
                        code=error.code,
                    ) from error
        has = found.get("AutoUpdate")
        if auto_update is not None and has and (has == "ENABLED") is not auto_update:
            raise RekognitionNameTaken(
                f"the project {name!r} has auto-update {has}, which cannot be changed; leave auto_update out "
                "or give another project_name"
            )
        return str(found["ProjectArn"])

    def describe_version(self, project_arn: str, version_name: str) -> dict[str, Any] | None:
        """Return the DescribeProjectVersions entry of a version: Status, StatusMessage, EvaluationResult …"""
        return self.describe_versions(project_arn, [version_name]).get(version_name)

    def describe_versions(self, project_arn: str, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """
        Return those of at most ten versions of a project that exist, by name.

        :raises RekognitionRequestInvalid: there is no such project.
        """
        try:
            answer = self._call(
                lambda: self.conn.describe_project_versions(ProjectArn=project_arn, VersionNames=[*names])
            )
        except RekognitionRequestInvalid as error:
            # One unknown name may be answered like this for all; an unknown project is told by one name.
            if error.code != "ResourceNotFoundException" or len(names) == 1:
                return self._none_of(project_arn, error)
            found = (self.describe_versions(project_arn, [name]) for name in names)
            return {name: entry for one in found for name, entry in one.items()}
        versions = answer["ProjectVersionDescriptions"]
        return {training.name_in(entry["ProjectVersionArn"]): entry for entry in versions}

    def find_version(self, version_arn: str) -> dict[str, Any] | None:
        """
        Return the description of a version known by its ARN alone.

        That ARN does not hold its project's, which ends with the project's own time of creation.
        """
        project = self.find_project(training.project_in(version_arn))
        found = project and self.describe_version(project["ProjectArn"], training.name_in(version_arn))
        return found if found and found["ProjectVersionArn"] == version_arn else None

    def create_version(self, request: dict[str, Any]) -> str:
        """
        Start a training; return the ARN of the version, also where an earlier, lost answer has started it.

        CreateProjectVersion takes no ClientRequestToken: the version's name, unique in its project, is what
        keeps a second try from a second training.

        :param request: arguments of CreateProjectVersion.
        :raises RekognitionNameTaken: a version of this name was trained with something else.
        """
        try:
            return str(self._call(lambda: self.conn.create_project_version(**request))["ProjectVersionArn"])
        except (RekognitionResourceInUse, RekognitionUnavailable):
            found = self.describe_version(request["ProjectArn"], request["VersionName"])
            if found is None:
                raise
            training.check_same(found, request)
            return str(found["ProjectVersionArn"])

    def delete_version(self, version_arn: str) -> None:
        """
        Delete a version that is not training; one that is gone is done.

        :raises RekognitionResourceInUse: it trains; AWS has no call that stops a training.
        """
        self._delete(lambda: self.conn.delete_project_version(ProjectVersionArn=version_arn))

    def delete_project(self, project_arn: str) -> None:
        """
        Delete a project without versions; one that is gone is done.

        :raises RekognitionResourceInUse: it has versions.
        """
        self._delete(lambda: self.conn.delete_project(ProjectArn=project_arn))

    def wait_for_project(self, name: str, *, timeout: timedelta | float) -> None:
        """Wait until a project that is being made can be used."""
        args = {"ProjectNames": [name], "Features": [CONTENT_MODERATION]}
        waiter = self.get_waiter(PROJECT_CREATED_WAITER)
        self._wait(
            waiter,
            args,
            lambda: looks.at_project(name),
            interval=1.0,
            limit=patience.seconds(timeout, name="timeout"),
        )

    def wait_for_version(
        self,
        project_arn: str,
        version_name: str,
        *,
        interval: timedelta | float,
        timeout: timedelta | float,
    ) -> None:
        """
        Wait until the training of a version has completed.

        :param interval: time between two looks.
        :param timeout: wall time after which the wait ends, whatever the service answers.
        :raises RekognitionTrainingFailed: with its status and AWS's StatusMessage.
        :raises RekognitionTrainingTimeout: when ``timeout`` has passed; the training goes on.
        """
        waiter = self.get_waiter(VERSION_TRAINED_WAITER)
        limit = patience.seconds(timeout, name="timeout")
        try:
            self._wait(
                waiter,
                _version_args(project_arn, version_name),
                lambda: looks.at_version(version_name),
                interval=patience.seconds(interval, name="interval"),
                limit=limit,
            )
        except StillRunning as error:
            raise _training_timeout(version_name, limit, error.status) from None

    async def async_wait_for_version(
        self, client: Any, project_arn: str, version_name: str, *, interval: float, timeout: float
    ) -> None:
        """Wait as `wait_for_version` does, on an aiobotocore client; a call that hangs ends with the wait."""
        waiter = self.get_waiter(VERSION_TRAINED_WAITER, deferrable=True, client=client)
        try:
            await self._async_wait(
                waiter,
                _version_args(project_arn, version_name),
                lambda: looks.at_version(version_name),
                interval=interval,
                limit=timeout,
            )
        except StillRunning as error:
            raise _training_timeout(version_name, timeout, error.status) from None
        except TimeoutError:
            raise _training_timeout(version_name, timeout, "unknown (no answer)") from None

    def wait_until_gone(
        self, version_arn: str, *, interval: timedelta | float, timeout: timedelta | float
    ) -> None:
        """
        Wait until a version that is being deleted is no more.

        :raises RekognitionTrainingTimeout: when ``timeout`` has passed; the deletion goes on.
        """
        limit = patience.seconds(timeout, name="timeout")
        policy = patience.poll_policy(
            interval=patience.seconds(interval, name="interval"),
            patience=limit,
            log=self.log,
            clock=self.clock,
        )

        def look() -> None:
            if found := self.find_version(version_arn):
                raise StillRunning(found["Status"], what=f"adapter version {version_arn}")

        try:
            tenacity.Retrying(sleep=self.clock.sleep, **policy)(look)
        except StillRunning as error:
            raise RekognitionTrainingTimeout(
                f"still {error.status} after {timedelta(seconds=round(limit))}", job_id=version_arn
            ) from None

    def _none_of(self, project_arn: str, error: RekognitionRequestInvalid) -> dict[str, dict[str, Any]]:
        """Say that no version exists, if the project does."""
        if error.code != "ResourceNotFoundException" or self.find_project(_name_of(project_arn)) is None:
            raise error
        return {}

    def _delete(self, call: Callable[[], Any]) -> None:
        try:
            self._call(call)
        except RekognitionRequestInvalid as error:
            if error.code != "ResourceNotFoundException":
                raise


def _name_of(project_arn: str) -> str:
    return project_arn.split("/")[1] if "/" in project_arn else project_arn


def _version_args(project_arn: str, version_name: str) -> dict[str, Any]:
    return {"ProjectArn": project_arn, "VersionNames": [version_name]}


def _training_timeout(version_name: str, limit: float, status: str) -> RekognitionTrainingTimeout:
    return RekognitionTrainingTimeout(
        f"not trained after {timedelta(seconds=round(limit))}; its last status was {status}. The training "
        "goes on at AWS, and a retry of the task waits for it again",
        job_id=version_name,
    )
