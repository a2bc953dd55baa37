"""What is known of the adapters that were trained here, which one is the champion, and who said so.

One sealed file, ``MODERATION_WORK_URI/adapters/registry.json``, changed by compare and swap; nothing in it is
ever taken back: a promotion, a roll-back and a retirement are rows that come after another.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from moderation.adapters import gate, mark
from moderation.errors import NeedsAPersonError, TransientError
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.storage.state import parse_state, seal

PROMOTED, ROLLED_BACK, RETIRED = "promoted", "rolled back", "retired"
_TRIES = 8
_REMEDY = (
    "restore it from a version or a backup of the bucket; without it nobody knows which adapter is in use"
)


class RegistryError(NeedsAPersonError):
    """The registry is damaged, or an adapter is not in it."""


class PromotionError(RegistryError):
    """The registry is whole, and does not allow what was asked."""


class RegistryBusyError(TransientError):
    """Other processes change the registry all the time."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """An adapter version that was trained here.

    :param set_uri: the training set.
    :param base_model_version: of the base model behind it when it was compared; auto-update changes it.
    :param evaluation: of :meth:`moderation.adapters.evaluation.Evaluation.record`.
    :param gate: of :meth:`moderation.adapters.gate.Gate.record`.
    :param begun_at: when its training began.
    :param asked_by: who asked for its training.
    :param reminded: how many new verdicts waited when people were told last.
    """

    arn: str
    project: str
    labels: tuple[str, ...]
    set_uri: str
    base_model_version: str | None = None
    trained_at: str | None = None
    f1: float | None = None
    billable_seconds: int | None = None
    cost_usd: float | None = None
    evaluation: dict[str, Any] | None = None
    gate: dict[str, Any] | None = None
    begun_at: str | None = None
    reminded: int | None = None
    asked_by: str | None = None


@dataclass(frozen=True, kw_only=True)
class Event:
    """What a person did.

    :param version: the adapter it was about.
    :param champion: the champion afterwards; None for the base model.
    :param older_share: with a promotion, the share of older contents that it asks for anew each night.
    """

    at: str
    person: str
    action: str
    version: str
    champion: str | None
    reason: str = ""
    older_share: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Registry:
    """All of it at one time.

    :param install: of :mod:`moderation.adapters.mark`; None of an earlier release.
    """

    versions: Mapping[str, Version] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    install: str | None = None

    @property
    def champion(self) -> str | None:
        """The ARN of the adapter in use; None for the base model."""
        return self.events[-1].champion if self.events else None

    @property
    def retired(self) -> frozenset[str]:
        """Versions that are not to be used any more."""
        return frozenset(event.version for event in self.events if event.action == RETIRED)

    def older_share(self, now: datetime) -> float:
        """What part of the contents first seen before the promotion is asked for anew by now, 0 to 1."""
        promoted = next((e for e in reversed(self.events) if e.champion == self.champion), None)
        if promoted is None or promoted.action != PROMOTED or not promoted.older_share:
            return 0.0
        nights = (now.astimezone(UTC).date() - datetime.fromisoformat(promoted.at).date()).days
        return max(0.0, min(1.0, nights * promoted.older_share))

    def promotion_of(self, arn: str) -> Event | None:
        """The latest promotion that put a version in place of another one; None if it never was promoted."""
        return next(
            (
                e
                for e in reversed(self.events)
                if (e.action, e.version) == (PROMOTED, arn) and self.before(e) != arn
            ),
            None,
        )

    def before(self, event: Event) -> str | None:
        """What was in use before something was done; None for the base model."""
        place = self.events.index(event)
        return self.events[place - 1].champion if place else None

    def known(self, arn: str) -> Version:
        """A version that was trained here.

        :raises RegistryError: none of that ARN was.
        """
        if arn not in self.versions:
            raise RegistryError(
                f"no adapter {arn} was trained here; `{Settings.from_env().command} adapter list` tells "
                "those that were"
            )
        return self.versions[arn]


def load(settings: Settings) -> Registry:
    """The registry as it is now.

    :raises RegistryError: it is damaged.
    """
    with s3_objects.open_client(settings) as s3:
        return _read(s3, settings)[0]


def created(arn: str) -> datetime:
    """When a version was created, as its ARN says."""
    return datetime.fromtimestamp(int(arn.rpartition("/")[2]) / 1000, UTC)


def note(settings: Settings, version: Version) -> Version:
    """Keep what is known of a version; what is None keeps what was known before."""

    def change(there: Registry) -> Registry:
        before = there.versions.get(version.arn)
        told = {name: value for name, value in vars(version).items() if value is not None}
        return replace(
            there, versions={**there.versions, version.arn: replace(before, **told) if before else version}
        )

    return _change(settings, change).versions[version.arn]


def note_first(settings: Settings, version: Version) -> Version:
    """Keep a version whose training begins; of one that is known, only what was not."""

    def change(there: Registry) -> Registry:
        before = there.versions.get(version.arn, version)
        told = {name: value for name, value in vars(before).items() if value is not None}
        return replace(there, versions={**there.versions, version.arn: replace(version, **told)})

    return _change(settings, change).versions[version.arn]


def promote(
    settings: Settings,
    arn: str,
    *,
    person: str,
    now: datetime,
    knowingly: bool = False,
    older_share: float = 0.0,
) -> Registry:
    """Make a version the champion.

    It applies to contents first seen from now on; what older ones get is ``older_share`` of them a night.

    :param knowingly: a person has seen what the gate asks about.
    :raises PromotionError: the gate stops it, it was not compared, it is retired or unknown.
    """
    if not 0 <= older_share <= 1:
        raise RegistryError(f"older_share={older_share}: expected a share from 0 to 1")

    def change(there: Registry) -> Registry:
        version = there.known(arn)
        if arn in there.retired:
            raise PromotionError(f"the adapter {arn} was retired; train another one")
        _pass_gate(version, knowingly=knowingly)
        last = there.events[-1] if there.events else None
        if last and (last.action, last.champion, last.older_share) == (PROMOTED, arn, older_share):
            return there
        event = _event(now, person, PROMOTED, arn, champion=arn, older_share=older_share)
        return replace(there, events=(*there.events, event))

    return _change(settings, change)


def roll_back(settings: Settings, *, person: str, now: datetime, reason: str = "") -> Registry:
    """Use again what was used before the champion: an adapter that is not retired, or the base model.

    :raises PromotionError: there is no champion.
    """

    def change(there: Registry) -> Registry:
        champion = there.champion
        if champion is None:
            raise PromotionError("there is no champion: the base model is in use already")
        before = next(
            (e.champion for e in reversed(there.events) if e.champion not in {champion, *there.retired}), None
        )
        first = next(n for n, e in enumerate(there.events) if e.champion == champion)
        earlier = {e.champion for e in there.events[:first]}
        event = _event(
            now, person, ROLLED_BACK, champion, champion=before if before in earlier else None, reason=reason
        )
        return replace(there, events=(*there.events, event))

    return _change(settings, change)


def retire(settings: Settings, arn: str, *, person: str, now: datetime, reason: str = "") -> Registry:
    """Never use a version again; if it is the champion, the base model is used from now on."""

    def change(there: Registry) -> Registry:
        there.known(arn)
        if arn in there.retired:
            return there
        champion = None if there.champion == arn else there.champion
        event = _event(now, person, RETIRED, arn, champion=champion, reason=reason)
        return replace(there, events=(*there.events, event))

    return _change(settings, change)


def forget(settings: Settings, kept: Mapping[str, Collection[str]]) -> Registry:
    """Take out of the comparisons on some sets the images that these do not hold any more.

    :param kept: by the set's URI, where the images are that it still holds.
    """

    def cleaned(version: Version) -> Version:
        if version.set_uri not in kept or not version.evaluation:
            return version
        flips = [one for one in version.evaluation["flips"] if one["source_ref"] in kept[version.set_uri]]
        return replace(version, evaluation=version.evaluation | {"flips": flips})

    return _change(
        settings,
        lambda there: replace(there, versions={arn: cleaned(one) for arn, one in there.versions.items()}),
    )


def trained_on(registry: Registry, digests: set[str]) -> list[Version]:
    """The versions that were trained on these sets: what an erasure has to name."""
    return [v for v in registry.versions.values() if v.set_uri.rpartition("/")[2] in digests]


def _pass_gate(version: Version, *, knowingly: bool) -> None:
    if version.gate is None:
        raise PromotionError(
            f"the adapter {version.arn} was not compared with the base model; "
            f"run `{Settings.from_env().command} adapter evaluate {version.arn}`"
        )
    verdict, reasons = version.gate["verdict"], "; ".join(version.gate["reasons"])
    if verdict == gate.STOPS:
        raise PromotionError(f"the gate stops {version.arn}: {reasons}")
    if verdict == gate.ASKS and not knowingly:
        raise PromotionError(
            f"the gate asks about {version.arn}: {reasons}. Promote it knowingly (--knowingly), "
            "or verify more"
        )


def _event(
    now: datetime,
    person: str,
    action: str,
    version: str,
    *,
    champion: str | None,
    reason: str = "",
    older_share: float = 0.0,
) -> Event:
    if not person.strip():
        raise RegistryError("a promotion, a roll-back and a retirement are somebody's: give a name")
    return Event(
        at=now.astimezone(UTC).isoformat(),
        person=person,
        action=action,
        version=version,
        champion=champion,
        reason=reason,
        older_share=older_share,
    )


def _uri(settings: Settings) -> str:
    return s3_objects.join_uri(settings.work_uri, "adapters", "registry.json")


def _read(s3: Any, settings: Settings) -> tuple[Registry, str | None]:
    uri = _uri(settings)
    found, marked = s3_objects.find(s3, uri), mark.find(s3, settings)
    if found is None:
        if marked is not None:
            raise RegistryError(
                f"{uri} is gone, and adapters were registered in it; {_REMEDY}. To begin anew with the base "
                f"model, delete {mark.uri(settings)}"
            )
        return Registry(), None

    def parse(state: dict[str, Any]) -> Registry:
        versions = [Version(**{**one, "labels": tuple(one["labels"])}) for one in state["versions"]]
        return Registry(
            versions={version.arn: version for version in versions},
            events=tuple(Event(**one) for one in state["events"]),
            install=state.get("install"),
        )

    registry = parse_state(found.body, uri, parse=parse, error=RegistryError, remedy=_REMEDY)
    theirs = marked.install if marked else None
    if registry.install and theirs and registry.install != theirs:
        raise RegistryError(
            f"{uri} is of another install, as {mark.uri(settings)} says; {_REMEDY}. If the other file is the "
            "wrong one, delete that"
        )
    return registry, found.etag


def _install(s3: Any, settings: Settings) -> str:
    marked = mark.find(s3, settings)
    return (marked and marked.install) or uuid.uuid4().hex


def _change(settings: Settings, change: Callable[[Registry], Registry]) -> Registry:
    with s3_objects.open_client(settings) as s3:
        for _ in range(_TRIES):
            there, etag = _read(s3, settings)
            wanted = change(there)
            if wanted == there:
                return there
            wanted = replace(wanted, install=there.install or _install(s3, settings))
            body = seal(
                {
                    "install": wanted.install,
                    "versions": [asdict(version) for _, version in sorted(wanted.versions.items())],
                    "events": [asdict(event) for event in wanted.events],
                }
            )
            uri = _uri(settings)
            if etag is None:
                done = s3_objects.put_if_absent(s3, uri, body)
            else:
                done = s3_objects.put_if_match(s3, uri, body, etag=etag)
            if done is not None:
                mark.ensure(s3, settings, str(wanted.install))  # not before: alone it would tell of a loss
                return wanted
    raise RegistryBusyError(f"{_uri(settings)} is being changed by other processes; try again")
