"""What is known of adapters, from the registry and their training sets, into the table `adapters`."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import orjson
import pyarrow as pa

from moderation.adapters import registry
from moderation.adapters.registry import PROMOTED, RETIRED, ROLLED_BACK, Registry, Version
from moderation.adapters.sets import store
from moderation.adapters.sets.training_set import TESTING, TRAINING
from moderation.errors import ModerationError
from moderation.publish.standing import StandingGoneError, StandingTable, begin_anew, open_standing
from moderation.schema import physical_schema
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.tables.faults import TablesDamagedError
from moderation.tables.standing import ADAPTERS

_OF_A_LABEL = ("label", "outcome", "p", "threshold", "base", "adapter")

_log = logging.getLogger(__name__)


def publish_adapters(settings: Settings) -> int:
    """Show readers every adapter as it stands now; may be repeated, also after a kill. Returns how many.

    Files of the table that are gone or damaged are made anew: the registry knows all that was in them.

    :raises RegistryError: the registry is damaged.
    :raises StandingError: the table's own list is damaged, or a file is gone.
    :raises StandingBusyError, lease.LeaseBusy: another publish is under way.
    """
    if not registry.load(settings).versions:
        return 0
    try:
        return _publish(settings)
    except StandingGoneError as error:
        _log.warning("the table adapters is made anew, from the registry: %s", error)
        begin_anew(settings, ADAPTERS)
        return _publish(settings)


def _publish(settings: Settings) -> int:
    with open_standing(settings, ADAPTERS) as table:
        # Read under the lock, so that no older state of it comes last.
        wanted = as_table(settings, registry.load(settings))
        if _rows(table) != wanted.to_pylist():
            table.replace_all(wanted)
    return wanted.num_rows


def _rows(table: StandingTable) -> list[dict[str, Any]] | None:
    """What readers have, by ARN; None where they cannot read it."""
    try:
        return sorted((row for batch in table.rows() for row in batch.to_pylist()), key=_arn)
    except TablesDamagedError as error:
        _log.warning("the table adapters is made anew, from the registry: %s", error)
        return None


def publish_after(settings: Settings) -> None:
    """Publish after a change that stands whether this succeeds or not; the next publish makes up for it."""
    try:
        publish_adapters(settings)
    except ModerationError as error:
        _log.warning(
            "the table adapters lacks the last change (%s); `%s adapter publish`, or the next publish of "
            "verdicts, brings it",
            error,
            settings.command,
        )


def as_table(settings: Settings, found: Registry) -> pa.Table:
    """The table's rows, by ARN."""
    with s3_objects.open_client(settings) as s3:
        rows = [_row(s3, found, version) for version in found.versions.values()]
    return pa.Table.from_pylist(sorted(rows, key=_arn), physical_schema(ADAPTERS))


def _arn(row: dict[str, Any]) -> str:
    return str(row["adapter"])


def _row(s3: Any, found: Registry, version: Version) -> dict[str, Any]:
    return {
        "dt": registry.created(version.arn).date(),
        "adapter": version.arn,
        "version_name": version.arn.split("/")[-2],
        "project": version.project,
        "labels": "|".join(version.labels),
        "state": _state(found, version),
        "base_model_version": version.base_model_version,
        "training_set": version.set_uri.rpartition("/")[2],
        **_of_set(s3, version),
        "trained_at": _time(version.trained_at),
        "f1": version.f1,
        "billable_seconds": version.billable_seconds,
        "cost_usd": version.cost_usd,
        **_of_comparison(version),
        **_of_events(found, version),
        "asked_by": version.asked_by,
    }


def _state(found: Registry, version: Version) -> str:
    if version.arn in found.retired:
        return "retired"
    if version.arn == found.champion:
        return "in use"
    return "in training" if version.evaluation is None else "compared"


def _of_set(s3: Any, version: Version) -> dict[str, Any]:
    """Null where the set is gone or damaged: the adapter is there all the same."""
    try:
        stored = store.find(s3, version.set_uri)
    except store.TrainingSetError as error:
        _log.warning("%s", error)
        return {}
    if stored is None:
        return {}
    erased = list(stored.contents.erased.values())
    counts = {part: len(stored.contents.part(part)) + erased.count(part) for part in (TRAINING, TESTING)}
    return {**{f"{part}_images": number for part, number in counts.items()}, "erased_images": len(erased)}


def _of_comparison(version: Version) -> dict[str, Any]:
    if version.evaluation is None or version.gate is None:
        return {}
    trained = [one for one in version.evaluation["labels"] if one["trained"]]
    told = [{name: one[name] for name in _OF_A_LABEL} for one in trained]
    return {
        "gate": version.gate["verdict"],
        "gate_reasons": " ".join(version.gate["reasons"]) or None,
        "became_right": sum(one["became_right"] for one in trained),
        "became_wrong": sum(one["became_wrong"] for one in trained),
        "evaluation": orjson.dumps(told).decode(),
    }


def _of_events(found: Registry, version: Version) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for event in found.events:
        if event.version != version.arn:
            continue
        name = {PROMOTED: "promoted", ROLLED_BACK: "rolled_back", RETIRED: "retired"}[event.action]
        told |= {f"{name}_at": _time(event.at), f"{name}_by": event.person}
        if event.action == PROMOTED:
            told["older_share"] = event.older_share
        else:
            told["reason"] = event.reason or None
    return told


def _time(told: str | None) -> datetime | None:
    return None if told is None else datetime.fromisoformat(told).astimezone(UTC)
