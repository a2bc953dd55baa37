"""``moderation adapter eligibility``, ``train`` and ``evaluate``."""

from __future__ import annotations

import argparse
import shlex
import sys
import time

from moderation.adapters import registry, stages, training
from moderation.adapters.after import reminder
from moderation.adapters.gate import PASSES
from moderation.adapters.sets import eligibility as counting
from moderation.cli.boundary import DONE, SOMETHING_FAILED
from moderation.cli.jobs import Rekognition
from moderation.cli.output import one_line, print_json, warn
from moderation.plan.price import OverBudgetError
from moderation.publish.adapters import publish_after
from moderation.review import mark
from moderation.settings import Settings
from moderation.variables.adapters import AdapterSettings

_POLL_SECONDS = 15.0


def eligibility(settings: Settings, options: argparse.Namespace) -> int:
    """Tell of each label how many errors people found, and what is missing."""
    used, default = stages.thresholds_in_use()
    rows = counting.count(
        stages.decided(settings),
        rule=AdapterSettings.from_env(),
        thresholds=used.labels,
        default_threshold=default,
        labels=options.labels or None,
    )
    with mark.opened(settings) as opened:
        new = reminder.waiting(registry.load(settings), opened.log, AdapterSettings.from_env())
    if new is not None and (new.is_due or not options.json):
        warn(new.text(settings.command))
    if options.json:
        print_json([row.row() for row in rows])
        return DONE
    if not rows:
        sys.stdout.write("Nobody has decided about a label yet: verify the images of a job first\n")
    for row in rows:
        state = "can be trained" if row.eligible else "too few errors"
        right = row.true_positives + row.true_negatives
        sys.stdout.write(
            f"{one_line(row.label)}: {state}. {row.false_positives} false positives, "
            f"{row.false_negatives} false negatives, {right} right, {row.undecided} not agreed about "
            f"(threshold {row.threshold:g}). {row.what_next()}\n"
        )
        if row.needs_decision and (options.labels or row.eligible):
            command = f"{settings.command} adapter queue {shlex.quote(row.label)}"
            sys.stdout.write(f"  {row.needs_decision:,} images need a decision about it: `{command}`\n")
    return DONE


def train(settings: Settings, options: argparse.Namespace) -> int:
    """Make the set, tell the price, start the training or find it."""
    rule, (used, default) = AdapterSettings.from_env(), stages.thresholds_in_use()
    decided = stages.decided(settings)
    rows = counting.count(
        decided, rule=rule, thresholds=used.labels, default_threshold=default, labels=options.labels
    )
    counting.require(rows, options.labels)
    stored = stages.make_set(settings, decided, labels=options.labels, project=options.project)
    cost = training.expected_cost_usd(rule)
    if cost > options.max_cost_usd:
        raise OverBudgetError(
            f"the training costs about {cost:,.2f} USD ({rule.training_hours:g} h) and may cost "
            f"{options.max_cost_usd:,.2f}; raise --max-cost-usd. The set is kept: {stored.uri}"
        )
    told = {"set": stored.uri, "expected_cost_usd": cost, "adapter": None}
    if not options.dry_run:
        with Rekognition(settings) as rekognition:
            told["adapter"] = training.begin(
                settings, rekognition, stored, threshold=default, person=options.person
            )
        publish_after(settings)
    waits = told["adapter"] and options.wait
    if options.json and not waits:
        print_json(told | {"contents": stored.contents.text().splitlines()})
    elif not options.json:
        sys.stdout.write(f"{stored.contents.text()}\nset: {stored.uri}\nprice: about {cost:,.2f} USD\n")
        if told["adapter"]:
            sys.stdout.write(f"adapter: {told['adapter']}\n")
    if waits:
        return _wait(settings, str(told["adapter"]), as_json=options.json)
    return DONE


def evaluate(settings: Settings, options: argparse.Namespace) -> int:
    """Compare an adapter whose training has ended; ends with 1 where the gate does not let it through."""
    return _tell(_finish(settings, options.arn), as_json=options.json)


def _wait(settings: Settings, arn: str, *, as_json: bool) -> int:
    hours = AdapterSettings.from_env().wait_hours
    deadline = time.monotonic() + hours * 3600
    while True:
        try:
            return _tell(_finish(settings, arn), as_json=as_json)
        except training.TrainingGoesOnError as error:
            if time.monotonic() >= deadline:
                raise training.TrainingGoesOnError(
                    f"the adapter {arn} is still being trained after {hours:g} h "
                    "(MODERATION_ADAPTER_WAIT_HOURS); it goes on, and AWS has no call that stops it: "
                    f"`{settings.command} adapter evaluate {arn}` compares it when it has ended, and this "
                    "command, given again, waits again"
                ) from error
            time.sleep(_POLL_SECONDS)


def _finish(settings: Settings, arn: str) -> stages.Finished:
    with Rekognition(settings) as rekognition:
        found = stages.finish(arn, rekognition=rekognition, settings=settings)
    publish_after(settings)
    return found


def _tell(found: stages.Finished, *, as_json: bool) -> int:
    compared, judged = found.compared, found.judged
    if as_json:
        print_json({"adapter": found.version.arn, "gate": judged.record(), "evaluation": compared.record()})
    else:
        for label in compared.labels:
            recalls = (label.base.recall, label.adapter.recall)
            base, adapter = (f"{share.k} of {share.n}" for share in recalls)
            sys.stdout.write(
                f"{label.label}: {label.outcome}. On the test set the base model finds {base}, the adapter "
                f"{adapter}; {label.became_right} images became right, {label.became_wrong} wrong "
                f"(p = {label.p:.3f})\n"
            )
        for told in (*found.changed, *compared.disagreements, *judged.reasons):
            sys.stdout.write(f"{one_line(told)}\n")
        sys.stdout.write(f"gate: {judged.verdict}\n")
    return DONE if judged.verdict == PASSES else SOMETHING_FAILED
