"""Whether so many new verdicts wait that another training may pay off; said once for each so many."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from moderation.adapters import registry
from moderation.adapters.registry import Registry, Version
from moderation.adapters.sets.decided import with_descendants
from moderation.errors import ModerationError
from moderation.review.log import VerdictLog
from moderation.settings import Settings
from moderation.variables.adapters import AdapterSettings

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Verdicts that no adapter has learnt from.

    :param since: the newest adapter that was trained here, whose labels these verdicts are about.
    :param contents: distinct contents that people decided since its training began.
    :param needed: from how many on a training is suggested.
    """

    since: str
    labels: tuple[str, ...]
    contents: int
    needed: int

    @property
    def is_due(self) -> bool:
        """Whether they are enough."""
        return self.contents >= self.needed

    def text(self, command: str) -> str:
        """A sentence.

        :param command: how `moderation` is called here.
        """
        told = f"{self.contents:,} images were decided about {', '.join(self.labels)} since the last training"
        if not self.is_due:
            return f"{told}; from {self.needed:,} on another one is suggested"
        words = " ".join(f"'{label}'" if " " in label else label for label in self.labels)
        return f"{told}: train again, `{command} adapter train {words} --max-cost-usd USD`"

    def record(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {**asdict(self), "is_due": self.is_due}


def waiting(found: Registry, log: VerdictLog, rule: AdapterSettings) -> Waiting | None:
    """What waits since the newest training; None where none was made, or when it began is not known.

    :raises moderation.review.state.faults.StateError: the state cannot be read.
    """
    newest = max(
        (version for version in found.versions.values() if _begun(version)), key=_begun, default=None
    )
    if newest is None:
        return None
    since = datetime.fromisoformat(_begun(newest)).astimezone(UTC)
    number = log.decided_since(since, with_descendants(newest.labels))
    return Waiting(since=newest.arn, labels=newest.labels, contents=number, needed=rule.remind_after)


def remind(settings: Settings, log: VerdictLog) -> Waiting | None:
    """Say in the log that a training may pay off, once for each so many new verdicts; returns what waits.

    :raises moderation.adapters.registry.RegistryError: the registry is damaged.
    """
    found = registry.load(settings)
    told = waiting(found, log, AdapterSettings.from_env())
    if told is None:
        return None
    before = found.versions[told.since]
    if told.contents // told.needed > (before.reminded or 0) // told.needed:
        _log.warning("%s", told.text(settings.command))
        registry.note(
            settings,
            Version(
                arn=before.arn,
                project=before.project,
                labels=before.labels,
                set_uri=before.set_uri,
                reminded=told.contents,
            ),
        )
    return told


def remind_if_known(settings: Settings, log: VerdictLog) -> Waiting | None:
    """As :func:`remind`, for whom it is a thing aside: what stands in its way is a warning."""
    try:
        return remind(settings, log)
    except ModerationError as error:
        _log.warning("how many verdicts wait for a training is not known: %s", error)
        return None


def _begun(version: Version) -> str:
    return version.begun_at or version.trained_at or ""
