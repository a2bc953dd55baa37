"""``moderation adapter list``, ``show``, ``promote``, ``rollback``, ``retire`` and ``publish``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime

from moderation.adapters import champion, older, registry
from moderation.adapters.after import production, reminder, sample
from moderation.adapters.after.production import Production
from moderation.adapters.registry import Registry, Version
from moderation.adapters.sets.since import Since
from moderation.cli.boundary import DONE
from moderation.cli.jobs import Rekognition
from moderation.cli.output import one_line, print_json, warn
from moderation.cli.output import show as print_lines
from moderation.errors import ModerationError, WarehouseMissingError
from moderation.publish.adapters import publish_adapters, publish_after
from moderation.review import mark
from moderation.review.statistics.draws import drawn
from moderation.settings import Settings
from moderation.stages import load_verdicts
from moderation.variables.adapters import AdapterSettings


def list_all(settings: Settings, options: argparse.Namespace) -> int:
    """Tell every adapter, and which one is in use."""
    found = registry.load(settings)
    rows = [_row(found, version) for version in found.versions.values()]
    changed = _changed(settings, found.versions)
    if options.json:
        with mark.opened(settings) as state:
            new = reminder.waiting(found, state.log, AdapterSettings.from_env())
        for row, told in zip(rows, changed.values(), strict=True):
            row["changed_since"] = told and told.record()
        print_json({"champion": found.champion, "adapters": rows, "since_training": new and new.record()})
        return DONE
    sys.stdout.write(f"in use: {found.champion or 'the base model'}\n")
    for row, version in zip(rows, found.versions.values(), strict=True):
        sys.stdout.write(f"{row['state']}: {version.arn} ({', '.join(version.labels)})\n")
        _tell_changed(settings, changed[version.arn])
    return DONE


def show(settings: Settings, options: argparse.Namespace) -> int:
    """Tell what is known of one adapter, and what people did with it."""
    found = registry.load(settings)
    version = found.known(options.arn)
    events = [asdict(event) for event in found.events if event.version == version.arn]
    told = _production(settings, found, version)
    changed = _changed(settings, {version.arn: version})[version.arn]
    if options.json:
        print_json(
            {
                **_row(found, version),
                "changed_since": changed and changed.listed(),
                "evaluation": version.evaluation,
                "events": events,
                "production": told and told.record(),
            }
        )
        return DONE
    row = _row(found, version)
    print_lines(row, [(name.replace("_", " "), value) for name, value in row.items()], as_json=False)
    _tell_changed(settings, changed)
    for event in events:
        text = f"{event['at']} {event['person']}: {event['action']} {event['reason']}"
        sys.stdout.write(f"{one_line(text)}\n")
    for line in told.lines() if told else ():
        sys.stdout.write(f"{one_line(line)}\n")
    return DONE


def promote(settings: Settings, options: argparse.Namespace) -> int:
    """Use an adapter from now on, after a look whether it answers."""
    with Rekognition(settings) as rekognition, mark.opened(settings) as state:
        champion.check_to_promote(settings, rekognition, options.arn, state.log)
    share = options.older_share / 100
    text = older.count(settings, share).text()
    if options.dry_run:
        return _tell(registry.load(settings), text, as_json=options.json)
    found = registry.promote(
        settings,
        options.arn,
        person=options.person,
        now=datetime.now(UTC),
        knowingly=options.knowingly,
        older_share=share,
    )
    publish_after(settings)
    return _tell(found, f"{text}\n{sample.after_promotion(settings)}", as_json=options.json)


def roll_back(settings: Settings, options: argparse.Namespace) -> int:
    """Use again what was used before."""
    found = registry.roll_back(settings, person=options.person, now=datetime.now(UTC), reason=options.reason)
    publish_after(settings)
    return _tell(found, "nothing is paid again", as_json=options.json)


def retire(settings: Settings, options: argparse.Namespace) -> int:
    """Never use an adapter again."""
    found = registry.retire(
        settings, options.arn, person=options.person, now=datetime.now(UTC), reason=options.reason
    )
    publish_after(settings)
    return _tell(found, f"{options.arn} is retired", as_json=options.json)


def publish(settings: Settings, options: argparse.Namespace) -> int:
    """Bring the table `adapters` and the warehouses to what is known of every adapter."""
    number = publish_adapters(settings)
    rows = load_verdicts(settings=settings)
    if options.json:
        print_json({"adapters": number, "warehouses": rows})
        return DONE
    sys.stdout.write(f"{number:,} adapters are in the table adapters and in the warehouses\n")
    return DONE


def _production(settings: Settings, found: Registry, version: Version) -> Production | None:
    """What people's verdicts tell of it in use; None before anything can be told."""
    if found.promotion_of(version.arn) is None:
        return None
    with mark.opened(settings) as state:
        draws, (waiting, _) = drawn(state), state.log.waiting()
    if waiting:
        warn(
            f"{waiting:,} verdicts are not published yet and not counted: {settings.command} verdicts publish"
        )
    try:
        return production.of_settings(settings, found, version, draws)
    except WarehouseMissingError:
        return None


def _changed(settings: Settings, versions: Mapping[str, Version]) -> dict[str, Since | None]:
    """By version, what people say otherwise than when its set was made; None where that is not known."""
    try:
        with mark.opened(settings) as state:
            return {arn: champion.changed_since(settings, one, state.log) for arn, one in versions.items()}
    except ModerationError as error:
        warn(f"whether verdicts changed since the trainings is not known: {error}")
        return dict.fromkeys(versions)


def _tell_changed(settings: Settings, changed: Since | None) -> None:
    for line in changed.lines(settings.command) if changed else ():
        sys.stdout.write(f"  {one_line(line)}\n")


def _row(found: Registry, version: Version) -> dict[str, object]:
    not_used = "in training" if version.evaluation is None else "not in use"
    states = {True: "in use", False: "retired" if version.arn in found.retired else not_used}
    return {
        "arn": version.arn,
        "state": states[version.arn == found.champion],
        "project": version.project,
        "labels": list(version.labels),
        "set_uri": version.set_uri,
        "asked_by": version.asked_by,
        "trained_at": version.trained_at,
        "base_model_version": version.base_model_version,
        "f1": version.f1,
        "billable_seconds": version.billable_seconds,
        "cost_usd": version.cost_usd,
        "gate": version.gate,
    }


def _tell(found: Registry, text: str, *, as_json: bool) -> int:
    if as_json:
        print_json(
            {
                "champion": found.champion,
                "event": asdict(found.events[-1]) if found.events else None,
                "text": text,
            }
        )
    else:
        sys.stdout.write(f"in use: {found.champion or 'the base model'}\n{text}\n")
    return DONE
