"""The completion report as a page: what its JSON says, bounded in size, loading nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping
from importlib import resources
from typing import Any

from markupsafe import Markup

from moderation.plan.plan import Totals
from moderation.plan.price import duration
from moderation.reference import error_codes
from moderation.report.page import view, wording
from moderation.report.spent import Spent

MOST_FAILURES = 500
MOST_JOBS = 100
MOST_FILES = 200
MOST_CODES = 50
MOST_LEFT_OUT = 200
MOST_RULES = 50


def render(
    report: Mapping[str, Any],
    *,
    json_name: str,
    redo_command: str,
    linked: bool = False,
    load_page: str | None = None,
) -> str:
    """The page as text.

    :param report: from ``completion.build_completion``.
    :param json_name: address of the JSON, relative to the page.
    :param redo_command: does again what failed.
    :param linked: the list of runs lies where it does beside the pages of loads.
    :param load_page: address of the load's page, relative to this one; None where there is none.
    """
    css = resources.files(view.__package__).joinpath("templates", "page.css").read_text(encoding="utf-8")
    counts = report.get("counts")
    failures, jobs, files = (report.get(name, ()) for name in ("failures", "jobs", "files"))
    steps = _outcomes(counts) if counts else _planned(report["plan_totals"])
    most = max([counts["inputs"] if counts else 0, *(step["images"] for step in steps)])
    values = {
        "css": Markup(css),  # noqa: S704 - a file of this package
        "css_hash": "sha256-" + base64.b64encode(hashlib.sha256(css.encode()).digest()).decode(),
        "title": f"Completion of load {report['load_id']}" if counts else f"Run {report['run_key']}",
        "report": report,
        "counts": counts,
        "figures": _figures(report) if counts else (),
        "accounts": {"says": _accounts(report)} if counts else None,
        "steps": steps,
        "most": most,
        "digits": 5 if most < 100_000 else 7 if most < 10_000_000 else 9,
        "facts": _facts(report),
        "by_code": _by_code(failures),
        "failures": failures[:MOST_FAILURES],
        "more_failures": counts["failed"] + counts["not_attempted"] - MOST_FAILURES
        if counts and len(failures) > MOST_FAILURES
        else 0,
        "jobs": jobs[:MOST_JOBS],
        "more_jobs": max(0, len(jobs) - MOST_JOBS),
        "files": files[:MOST_FILES],
        "more_files": max(0, len(files) - MOST_FILES),
        "left_out": _left_out(report.get("left_out")),
        "json_name": json_name,
        "redo_command": redo_command,
        "linked": linked,
        "load_page": load_page,
        "written": report["written_at"][:16].replace("T", " ") + " UTC",
    }
    return view.environment().get_template("completion.html.j2").render(values)


def _figures(report: Mapping[str, Any]) -> list[dict[str, str]]:
    counts = report["counts"]
    expected = wording.dollars(report["expected_cost_usd"])
    return [
        {"name": "Inputs", "value": wording.count(counts["inputs"]), "note": "to be accounted for"},
        {
            "name": "Moderated",
            "value": wording.count(counts["moderated"]),
            "note": wording.percent(counts["moderated"], counts["inputs"]),
        },
        {"name": "Failed", "value": wording.count(counts["failed"]), "note": "each with code and line"},
        {
            "name": "Still owed",
            "value": wording.count(counts["owed"]),
            "note": "another run can bring them" if counts["owed"] else "nothing is left to ask",
        },
        {
            "name": "Cost",
            "value": wording.dollars(report["cost_usd"]),
            "note": f"{wording.count(counts['billed'])} billed; expected at most {expected}",
        },
    ]


def _accounts(report: Mapping[str, Any]) -> str:
    counts = report["counts"]
    parts = ["moderated", "failed", "not_attempted"] + ["superseded"] * bool(counts["superseded"])
    total = " + ".join(f"{counts[name]:,} {name.replace('_', ' ')}" for name in parts)
    return f"{counts['inputs']:,} inputs {'=' if report['is_reconciled'] else '≠'} {total}"


def _outcomes(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    steps = [
        {"name": "Moderated", "images": counts["moderated"], "fill": "good"},
        {"name": "Failed", "images": counts["failed"], "fill": "bad"},
        {"name": "Not attempted", "images": counts["not_attempted"], "fill": "wait"},
    ]
    if counts["superseded"]:
        steps.append({"name": "Published by another load", "images": counts["superseded"], "fill": "plain"})
    return steps


def _planned(totals: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = Totals(**totals)
    rows = {
        "Found": found.listed,
        "To analyse": found.to_analyse,
        "Answered as copies": found.copies,
        **{
            before.name.capitalize()
            + (f", {before.note}" if before.images and before.note else ""): before.images
            for before in found.done_before
        },
        "Cannot be sent": found.rejected,
        "In another open run": found.claimed_elsewhere,
        "No images": found.ignored,
        "Left to the next run": found.postponed,
    }
    return [{"name": name, "images": images, "fill": "plain"} for name, images in rows.items()]


def _facts(report: Mapping[str, Any]) -> list[dict[str, str]]:
    seconds = report["expected_seconds"].get(report["backend"])
    rows = {
        "Run": report["run_key"],
        "Source": report["source"],
        "Backend": report["backend"],
        "Because": report["backend_reason"],
        "Adapter": report["adapter"],
        "MinConfidence": f"{report['min_confidence']:g}",
        "Thresholds in use": report.get("thresholds_in_use"),
        "Copies": report.get("copies"),
        "Expected price": f"at most {wording.dollars(report['expected_cost_usd'])}",
        "Spent so far": _spent(report.get("spent")),
        "Expected time": f"about {duration(seconds)}",
        "Before": _before(report["plan_totals"]),
        "Published": str(report["published_at"])[:16] + " UTC" if report.get("published_at") else None,
        "Gone at the source": (report["plan_totals"] or {}).get("gone") or None,
        "Plan": report["plan"],
    }
    return [{"name": name, "value": str(value)} for name, value in rows.items() if value is not None]


def _before(totals: Mapping[str, Any]) -> str | None:
    """What earlier loads had settled; None for nothing."""
    found = Totals(**totals).done_before if totals else ()
    return "; ".join(f"{before.name}: {before.text}" for before in found if before.images) or None


def _spent(spent: Mapping[str, Any] | None) -> str | None:
    return Spent(**spent).text() if spent else None


def _left_out(said: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if not said or not said["rules"]:
        return None
    rules = list(said["rules"].items())
    return {
        "rules": [{"name": name, "objects": count} for name, count in rules[:MOST_RULES]],
        "more_rules": max(0, len(rules) - MOST_RULES),
        "unread": said["unread"],
        "objects": said["objects"][:MOST_LEFT_OUT],
        "more": said["omitted"] + max(0, len(said["objects"]) - MOST_LEFT_OUT),
        "list": said["list"],
        "problem": said["problem"],
    }


def _by_code(failures: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = Counter(failure["error_code"] or failure["status"] for failure in failures)
    return [
        {"name": name, "images": images, "permanent": error_codes.is_permanent(name)}
        for name, images in found.most_common(MOST_CODES)
    ]
