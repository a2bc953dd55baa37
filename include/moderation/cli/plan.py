"""``moderation plan``, ``redo``, ``release`` and ``upload``: what a run would do, and its pictures."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moderation.cli import arguments
from moderation.cli.boundary import DONE, SOMETHING_FAILED
from moderation.cli.output import show
from moderation.plan.plan import Plan, run_key
from moderation.plan.planner import make_plan, release
from moderation.plan.price import copies_in_words
from moderation.plan.request import PlanRequest, asked_or_default
from moderation.plan.store import load_plan
from moderation.report.left_out import in_words
from moderation.settings import Settings
from moderation.sources.listing import NEVER_IN_S3, Tally
from moderation.sources.local_folder import LocalFolder, as_known
from moderation.storage import s3_objects


def add_parsers(commands: Any) -> None:
    """Add them to a program's commands.

    :param commands: what ``ArgumentParser.add_subparsers()`` returned.
    """
    upload = commands.add_parser("upload", help="upload a folder's images, as sync does")
    upload.add_argument("folder", type=Path)
    upload.set_defaults(run=_upload)

    plan = commands.add_parser("plan", help="what a run would do and cost")
    plan.add_argument("source", help="s3://bucket/prefix, an inventory's manifest.json, or a folder")
    plan.add_argument("--min-confidence", type=arguments.percentage, metavar="PERCENT")
    plan.add_argument("--adapter", metavar="ARN", help="version of a custom moderation adapter")
    plan.add_argument("--force", action="store_true", help="count what is already moderated, too")
    plan.add_argument("--no-inspect", action="store_true", help="do not read the images' headers")
    plan.add_argument("--max-images", type=arguments.count, metavar="N")
    plan.set_defaults(run=_plan)

    redo = commands.add_parser("redo", help="what of a load is to be done again")
    redo.add_argument("load_id", help="a published load; see the table loads")
    redo.add_argument(
        "--permanent", action="store_true", help="also what was refused for its own sake (format, size)"
    )
    redo.set_defaults(run=_redo)
    for parser in (upload, plan, redo):
        parser.add_argument("--json", action="store_true", help="print JSON")

    released = commands.add_parser("release", help="let other runs have the images of a run that died")
    released.add_argument("plan_uri", type=arguments.location, help="s3://…/plan.json")
    released.set_defaults(run=_release)


def _upload(settings: Settings, options: argparse.Namespace) -> int:
    folder, tally = LocalFolder(str(options.folder)), Tally(names=settings.no_image_names)
    rejected: list[dict[str, Any]] = []
    files = 0
    with s3_objects.open_client(settings, connections=16) as s3:
        for batch in folder.batches(settings, s3, tally, dry_run=False):
            files += batch.num_rows
            rejected += [row for row in batch.to_pylist() if row["error_code"]]
    done = {
        "target": folder.target(settings),
        "files": tally.listed,
        "images": files - len(rejected),
        "uploaded": folder.count.uploaded,
        "uploaded_bytes": folder.count.uploaded_bytes,
        "ignored": tally.ignored,
        "ignored_by_rule": dict(tally.by_rule.most_common()),
        "rejected": [
            {name: row[name] for name in ("source_ref", "error_code", "error_message")} for row in rejected
        ],
    }
    told = done.keys() - {"ignored", "ignored_by_rule", "rejected"}
    lines: list[tuple[str, Any]] = [(name, value) for name, value in done.items() if name in told]
    lines.append(("no images", in_words(tally.by_rule)))
    lines += [(row["error_code"], f"{row['source_ref']}: {row['error_message']}") for row in rejected]
    show(done, lines, as_json=options.json)
    return SOMETHING_FAILED if rejected else DONE


def _plan(settings: Settings, options: argparse.Namespace) -> int:
    from moderation.tables.ledger.known import stream_known  # noqa: PLC0415 - Iceberg is slow to import, only this needs it

    _prove_history(settings)
    now = datetime.now(UTC)
    request = PlanRequest(
        run_key=run_key("cli", now.isoformat()),
        source=options.source,
        logical_time=now,
        **asked_or_default(options.min_confidence, settings),
        adapter=options.adapter,
        force=options.force,
        inspect=not options.no_inspect,
        max_images=options.max_images,
    )
    plan = make_plan(settings, request, published=stream_known, dry_run=True)
    show(_summary(plan), _plan_lines(plan), as_json=options.json)
    return DONE


def _redo(settings: Settings, options: argparse.Namespace) -> int:
    from moderation.sources.failed_of_load import FailedOfLoad, question_of  # noqa: PLC0415
    from moderation.tables.ledger.known import stream_known  # noqa: PLC0415 - as above

    _prove_history(settings)
    now = datetime.now(UTC)
    min_confidence, adapter = question_of(settings, options.load_id)
    request = PlanRequest(
        run_key=run_key("cli", now.isoformat()),
        source=FailedOfLoad(options.load_id, permanent=options.permanent).uri,
        logical_time=now,
        min_confidence=min_confidence,
        adapter=adapter,
    )
    plan = make_plan(settings, request, published=stream_known, dry_run=True)
    conf = {"redo_load_id": options.load_id} | ({"redo_permanent": True} if options.permanent else {})
    command = _redo_command(settings, conf)
    lines = _plan_lines(plan)
    if never := plan.left_out.get(NEVER_IN_S3):
        lines.append(("never in S3", f"{never}: mend the files, then run their folder again"))
    lines.append(
        ("nothing to do", _why_nothing(plan, options)) if plan.is_empty else ("to start it", command)
    )
    found = _summary(plan) | {"conf": conf, "command": None if plan.is_empty else command}
    show(found, lines, as_json=options.json)
    return DONE


def _prove_history(settings: Settings) -> None:
    from moderation.tables.history import prove_history  # noqa: PLC0415 - Iceberg is slow to import

    with s3_objects.open_client(settings) as s3:
        prove_history(settings, s3=s3, remember=False)


def _why_nothing(plan: Plan, options: argparse.Namespace) -> str:
    totals = plan.totals
    if totals.claimed_elsewhere:
        return "another open run has it; see what becomes of that one"
    if totals.already_moderated:
        return "other loads have moderated it meanwhile"
    if options.permanent:
        return "none of it is left to be asked about"
    return "--permanent adds what was refused for its own sake, once it is mended"


def _redo_command(settings: Settings, conf: Mapping[str, Any]) -> str:
    """What starts a redo: the stack's own command, or Airflow's."""
    if settings.redo_command is None:
        return f"airflow dags trigger moderate_images --conf '{json.dumps(conf)}'"
    permanent = "1" if "redo_permanent" in conf else "0"
    return settings.redo_command.replace("{load_id}", conf["redo_load_id"]).replace("{permanent}", permanent)


def _plan_lines(plan: Plan) -> list[tuple[str, Any]]:
    totals = plan.totals
    return [
        ("source", as_known(plan.source)),
        ("listed", totals.listed),
        ("no images", in_words(plan.left_out) or 0),
        *((before.name, before.text) for before in totals.done_before),
        ("in another run", totals.claimed_elsewhere),
        ("rejected", totals.rejected),
        ("left to the next run", totals.postponed),
        ("gone at the source", totals.gone),
        ("to analyse", totals.to_analyse),
        ("copies", copies_in_words(plan)),
        ("jobs", len(plan.manifests)),
        ("price at most", f"{plan.expected_cost_usd:.4f} USD"),
        ("time by bulk jobs", _duration(plan.expected_seconds["bulk"])),
        ("time by single calls", _duration(plan.expected_seconds["detect"])),
    ]


def _summary(plan: Plan) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(plan.to_json())
    kept = ("source", "min_confidence", "adapter", "totals", "expected_cost_usd", "expected_seconds", "saved")
    return {name: content.get(name, {}) for name in kept} | {
        "left_out": plan.left_out,
        "jobs": len(plan.manifests),
    }


def _release(settings: Settings, options: argparse.Namespace) -> int:
    plan = load_plan(options.plan_uri.uri, settings=settings)
    release(plan, settings=settings)
    print(f"released {plan.totals.inputs} images of {plan.load_id}")
    return DONE


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "not offered in this region"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min {rest:02d} s"
