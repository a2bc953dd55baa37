"""The stages of a training, each a call that may be repeated; an orchestrator only passes ids and URIs on."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from moderation.adapters import champion, erasure, gate, registry, training
from moderation.adapters.after import sample
from moderation.adapters.evaluation import Evaluation
from moderation.adapters.gate import Gate
from moderation.adapters.sets import eligibility, images, store
from moderation.adapters.sets.decided import Decided
from moderation.adapters.sets.training_set import TESTING, TRAINING
from moderation.adapters.sets.verdicts import gather
from moderation.errors import TransientError
from moderation.policy.thresholds import Thresholds, in_use
from moderation.review import mark
from moderation.settings import Settings
from moderation.variables.adapters import AdapterSettings

log = logging.getLogger(__name__)

DEFAULT_THRESHOLD = 50.0


class ErasedMeanwhileError(TransientError):
    """An erasure came in between."""


def thresholds_in_use() -> tuple[Thresholds, float]:
    """The thresholds by label, and the one of all others."""
    found = in_use()
    return found, DEFAULT_THRESHOLD if found.default is None else found.default


def decided(settings: Settings) -> list[Decided]:
    """All that people decided.

    :raises moderation.review.state.faults.StateLostError: some of it was lost; the text says what to do.
    """
    with mark.opened(settings) as state:
        return gather(settings, state.log)


def eligible(
    settings: Settings, entries: list[Decided], labels: Collection[str] | None = None
) -> list[eligibility.Eligibility]:
    """Count the errors of labels, by default of all that were verified."""
    used, default = thresholds_in_use()
    return eligibility.count(
        entries,
        rule=AdapterSettings.from_env(),
        thresholds=used.labels,
        default_threshold=default,
        labels=labels,
    )


def require_eligible(labels: Collection[str], *, settings: Settings | None = None) -> list[str]:
    """Refuse a training of labels with too few errors; returns the labels as the taxonomy spells them.

    :raises moderation.adapters.sets.eligibility.NotEligibleError: with counts and what would fill them.
    """
    settings = settings or Settings.from_env()
    rows = eligible(settings, decided(settings), labels)
    eligibility.require(rows, labels)
    return sorted(row.label for row in rows)


def prepare(labels: Collection[str], *, project: str, settings: Settings | None = None) -> dict[str, Any]:
    """Make the training set; returns what a training of it needs and is expected to cost."""
    settings = settings or Settings.from_env()
    rule, (_, default) = AdapterSettings.from_env(), thresholds_in_use()
    stored = make_set(settings, decided(settings), labels=labels, project=project)
    return {
        "set_uri": stored.uri,
        "project": project,
        "version_name": training.version_name(stored),
        "training_uri": stored.training_uri,
        "testing_uri": stored.testing_uri,
        "output_uri": training.output_uri(stored),
        "confidence_threshold": default,
        "expected_cost_usd": training.expected_cost_usd(rule),
        "text": stored.contents.text(),
    }


def make_set(
    settings: Settings, entries: list[Decided], *, labels: Collection[str], project: str
) -> store.StoredSet:
    """Make the training set, or find it; copies of images whose time is over go.

    :param entries: of :func:`decided`.
    :raises ErasedMeanwhileError: some of it was erased while it was made; nothing of that is kept.
    :raises moderation.adapters.sets.eligibility.NotEligibleError: too little of it is left to train.
    """
    rule, (used, default) = AdapterSettings.from_env(), thresholds_in_use()
    if swept := images.sweep_copies(settings, now=datetime.now(UTC), days=rule.copy_days):
        log.info("%d copies of images older than %g days deleted", swept, rule.copy_days)
    stored = store.make(
        settings,
        project,
        entries,
        labels=labels,
        rule=rule,
        thresholds=used.labels,
        default_threshold=default,
    )
    _forget_meanwhile(settings, entries)
    _require_left(settings, entries, stored)
    return stored


def _require_left(settings: Settings, entries: list[Decided], stored: store.StoredSet) -> None:
    """Refuse a set that cannot be trained, before anybody is asked to pay for it."""
    contents = stored.contents
    trains = {picture.content for picture in contents.part(TRAINING)}
    eligibility.require_left(
        eligible(settings, entries, contents.labels),
        eligible(settings, [entry for entry in entries if entry.content in trains], contents.labels),
        tests=len(contents.part(TESTING)),
    )


def _forget_meanwhile(settings: Settings, entries: list[Decided]) -> None:
    """Take out again what was erased between the look at the log and the writing of the set."""
    of_verdict = {verdict: entry for entry in entries for verdict in entry.verdicts}
    with mark.opened(settings) as state:
        erased = [said.verdict_id for said in state.log.of_ids(of_verdict) if said.erased]
    if gone := {of_verdict[verdict].content for verdict in erased}:
        erasure.forget(settings, gone, {e.source_ref for e in entries if e.content in gone})
        raise ErasedMeanwhileError(f"{len(gone)} images were erased while the set was made; run again")


def begun(arn: str, set_uri: str, *, person: str, settings: Settings | None = None) -> None:
    """Keep that a training began, and who asked for it; may be repeated: who asked first stays."""
    settings = settings or Settings.from_env()
    training.note_begun(settings, arn, store.load(settings, set_uri), person=person)


@dataclass(frozen=True)
class Finished:
    """A training that has ended, compared and judged.

    :ivar changed: what people said otherwise since its set was made, a sentence each.
    """

    version: registry.Version
    compared: Evaluation
    judged: Gate
    changed: list[str]


def finish(arn: str, *, rekognition: Any, settings: Settings) -> Finished:
    """Compare a trained adapter with the base model by the settings and the thresholds in use.

    :raises: as :func:`moderation.adapters.training.finish`.
    """
    used, default = thresholds_in_use()
    with mark.opened(settings) as state:
        version, compared, judged = training.finish(
            settings,
            rekognition,
            arn,
            rule=AdapterSettings.from_env(),
            thresholds=used.labels,
            default_threshold=default,
            log=state.log,
        )
        changed = champion.changed_since(settings, version, state.log)
    return Finished(version, compared, judged, changed.lines(settings.command) if changed else [])


def evaluate(arn: str, set_uri: str, *, rekognition: Any, settings: Settings | None = None) -> dict[str, Any]:
    """Compare a trained adapter with the base model; returns its ARN, the gate's verdict and its reasons."""
    settings = settings or Settings.from_env()
    training.note_begun(settings, arn, store.load(settings, set_uri))
    found = finish(arn, rekognition=rekognition, settings=settings)
    judged = found.judged
    log.info("%s: the gate %s. %s", arn, judged.verdict, " ".join(judged.reasons))
    return {
        "arn": found.version.arn,
        "verdict": judged.verdict,
        "reasons": [*judged.reasons, *found.changed],
        "labels": [
            f"{label.label}: {label.outcome}, {label.base.recall.k} of {label.base.recall.n} found by the "
            f"base model and {label.adapter.recall.k} by the adapter on the test set"
            for label in found.compared.labels
        ],
    }


def promote(
    arn: str, *, person: str, rekognition: Any, knowingly: bool = False, settings: Settings | None = None
) -> str:
    """Use an adapter from now on, for contents that nobody has answered yet; returns its ARN.

    :raises moderation.adapters.registry.RegistryError: the gate does not let it through.
    :raises moderation.adapters.status.AdapterUnusableError: it does not answer.
    """
    settings = settings or Settings.from_env()
    with mark.opened(settings) as state:
        champion.check_to_promote(settings, rekognition, arn, state.log)
    registry.promote(settings, arn, person=person, now=datetime.now(UTC), knowingly=knowingly)
    log.info("%s", sample.after_promotion(settings))
    return arn


def is_stopped(evaluated: dict[str, Any]) -> bool:
    """Whether the gate leaves nothing to ask about."""
    return bool(evaluated["verdict"] == gate.STOPS)
