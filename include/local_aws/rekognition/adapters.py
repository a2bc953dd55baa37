"""Custom Moderation adapters, as far as analysis needs to know them: which exist, and in which state each is.

Some were trained here (``training``). Others are only said to exist (``adapters`` of the settings,
``/_local/adapters``): answers with one of these are those of the base model that carry its ARN.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from local_aws.rekognition.wire.auth import Identity
from local_aws.rekognition.wire.errors import ApiError
from local_aws.rekognition.wire.model import service_model

if TYPE_CHECKING:
    from local_aws.inference.adapters.learned import LearnedAdapter

_ARN = re.compile(
    r"arn:[a-z\d-]+:rekognition:(?P<region>[a-z\d-]+):(?P<account>\d{12})"
    r":project/(?P<project>[a-zA-Z0-9_.\-]{1,255})/version/(?P<version>[a-zA-Z0-9_.\-]{1,255})/(?P<born>\d{1,13})"
)
_PROJECT_ARN = re.compile(
    r"arn:[a-z\d-]+:rekognition:(?P<region>[a-z\d-]+):(?P<account>\d{12})"
    r":project/(?P<project>[a-zA-Z0-9_.\-]{1,255})/(?P<born>\d{1,13})"
)
_ANSWERING = frozenset({"TRAINING_COMPLETED", "DEPRECATED"})
_IGNORED = "EXPIRED"
_REMEMBERED = 64
_PROJECT_BORN = 1_600_000_000_000


@dataclass(frozen=True)
class Adapter:
    """One version of a project.

    :param status: one of AWS's ProjectVersionStatus values.
    """

    arn: str
    status: str

    def part(self, name: str) -> str:
        """``region``, ``account``, ``project``, ``version`` or ``born`` (milliseconds) of the ARN."""
        match = _ARN.fullmatch(self.arn)
        return match[name] if match else ""

    @property
    def project_arn(self) -> str:
        """The project's own ARN, which ends with the project's time of creation, not the version's."""
        return f"{self.arn.partition('/version/')[0]}/{_PROJECT_BORN}"


@dataclass(frozen=True)
class Project:
    """A project of adapters, which may have no version yet.

    :param status: one of AWS's ProjectStatus values.
    :param born: milliseconds since 1970.
    :param feature: CONTENT_MODERATION or CUSTOM_LABELS.
    :param auto_update: ENABLED, DISABLED or None.
    """

    arn: str
    name: str
    region: str
    account: str
    status: str
    born: int
    feature: str = "CONTENT_MODERATION"
    auto_update: str | None = None

    @classmethod
    def of(cls, arn: str, status: str) -> Project:
        """Read the ARN of a project.

        :raises ValueError: it is none.
        """
        match = _PROJECT_ARN.fullmatch(arn)
        if match is None:
            raise ValueError(f"{arn!r} is not the ARN of a project")
        return cls(arn, match["project"], match["region"], match["account"], status, int(match["born"]))


@dataclass(frozen=True)
class Known:
    """What exists: adapter versions and projects, each by ARN."""

    adapters: Mapping[str, Adapter]
    projects: Mapping[str, Project]


def read_adapters(given: Mapping[str, Any]) -> Known:
    """Read adapters from a mapping of ARN to status.

    A version brings its project with it; a project that is named itself may have no version.

    :raises ValueError: a key is no ARN of a version or a project, or a value none of AWS's states.
    """
    adapters: dict[str, Adapter] = {}
    projects: dict[str, Project] = {}
    for arn, status in given.items():
        if _ARN.fullmatch(arn):
            _check_status(arn, status, "ProjectVersionStatus")
            adapters[arn] = Adapter(arn, status)
        elif _PROJECT_ARN.fullmatch(arn):
            _check_status(arn, status, "ProjectStatus")
            projects[arn] = Project.of(arn, status)
        else:
            raise ValueError(f"adapters: {arn!r} is not the ARN of an adapter version or of a project")
    for adapter in adapters.values():
        arn = adapter.project_arn
        projects.setdefault(arn, Project.of(arn, "CREATED"))
    return Known(adapters, projects)


def _check_status(arn: str, status: Any, shape: str) -> None:
    states = service_model().shape_for(shape).metadata["enum"]
    if status not in states:
        raise ValueError(
            f"adapters: {arn} cannot be {status!r}; there is {', '.join(states)}. "
            "What is to be missing is left out"
        )


class Trained(Protocol):
    """What knows the versions that were trained here, as ``training.store.ProjectStore`` does."""

    def status(self, arn: str) -> str | None:
        """The status of a version; None when there is none."""

    def learned(self, arn: str) -> bytes | None:
        """What it has learnt; None when it has learnt nothing."""


class AdapterBook:
    """The adapters that exist; safe to use from many threads.

    :param given: status by ARN, of those that are only said to exist.
    :param trained: those that were trained here; one that is named in both is the trained one.
    """

    def __init__(self, given: Mapping[str, Any], trained: Trained) -> None:
        self._lock = threading.Lock()
        self._given = tuple(given)
        self._known = read_adapters(given)
        self._trained = trained
        self._learned: dict[str, LearnedAdapter] = {}

    def replace(self, given: Mapping[str, Any]) -> None:
        """Let these be said to exist and no others.

        :raises ValueError: see :func:`read_adapters`.
        """
        known = read_adapters(given)
        with self._lock:
            self._given, self._known = tuple(given), known

    def describe(self) -> dict[str, str]:
        """Status by ARN, of those that are only said to exist."""
        with self._lock:
            known = self._known
        return {
            arn: known.adapters[arn].status if arn in known.adapters else known.projects[arn].status
            for arn in self._given
        }

    def of(self, identity: Identity, account_id: str) -> list[Adapter]:
        """The adapters that are only said to exist and that a caller can see."""
        with self._lock:
            known = list(self._known.adapters.values())
        return [
            found
            for found in known
            if (found.part("region"), found.part("account")) == (identity.region, account_id)
        ]

    def projects(self, identity: Identity, account_id: str) -> list[Project]:
        """The projects that are only said to exist and that a caller can see."""
        with self._lock:
            known = list(self._known.projects.values())
        return [found for found in known if (found.region, found.account) == (identity.region, account_id)]

    def learned(self, arn: str) -> LearnedAdapter | None:
        """What an adapter has learnt; None for one that was not trained here.

        :raises RuntimeError: it is damaged.
        """
        # NumPy, which the settings are read without by every command of the stack.
        from local_aws.inference.adapters.learned import LearnedAdapter  # noqa: PLC0415

        with self._lock:
            found = self._learned.get(arn)
        if found is None and (stored := self._trained.learned(arn)) is not None:
            found = LearnedAdapter.from_bytes(stored)
            with self._lock:
                if len(self._learned) >= _REMEMBERED:
                    self._learned.clear()
                self._learned[arn] = found
        return found

    def answering(self, arn: str | None) -> str | None:
        """What the answers to a request for ``arn`` carry as ProjectVersion; None where the base answers.

        An expired adapter is silently ignored and the base model answers (developer guide, "Custom
        Moderation": an expired adapter cannot be used, and calls default to the base model).
        """
        return arn if arn and self._status(arn) in _ANSWERING else None

    def require_usable(self, arn: str, identity: Identity, account_id: str) -> None:
        """Check that an adapter version can be named in a request.

        :param arn: in the form that the service model demands.
        :raises ApiError: InvalidParameterException for an ARN of another account or region,
            ResourceNotFoundException when there is no such adapter, ResourceNotReadyException when it is not
            trained or is being deleted.
        """
        require_own(arn, identity, account_id)
        status = self._status(arn)
        if status is None:
            raise ApiError("ResourceNotFoundException", f"The resource {arn} was not found.")
        if status not in _ANSWERING and status != _IGNORED:
            raise ApiError("ResourceNotReadyException", f"The project version {arn} is {status}.")

    def _status(self, arn: str) -> str | None:
        trained = self._trained.status(arn)
        if trained is not None:
            return trained
        with self._lock:
            given = self._known.adapters.get(arn)
        return given.status if given else None


def require_own(arn: str, identity: Identity, account_id: str) -> None:
    """Check that an ARN belongs to the caller's account and region.

    :raises ApiError: InvalidParameterException.
    """
    _, _, _, region, account, *_ = [*arn.split(":", 5), "", "", "", "", ""]
    if region != identity.region or account != account_id:
        reason = (
            f"{arn} belongs to account {account} in {region}; "
            f"requests here are for account {account_id} in {identity.region}"
        )
        raise ApiError("InvalidParameterException", reason=reason)
