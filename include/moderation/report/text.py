"""A load's report for a terminal: at most 100 columns, numbers aligned, nothing that needs a colour."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from moderation.report.counts import Report
from moderation.report.offline import notice
from moderation.report.page import wording
from moderation.schema import LABELS
from moderation.sources.local_folder import as_known

WIDTH = 100
_NUMBER = 12
_NAME = 58
_BAR = WIDTH - _NAME - _NUMBER - 12

_ANOMALY_TEXT = {
    "MalformedLine": "result lines that could not be read",
    "UnexpectedResult": "results for images that were not asked for",
    "DuplicateResult": "results beyond the number asked for",
    "UnexpectedError": "errors that fit no image still open",
    "MalformedSummary": "manifest summaries that could not be read",
    "AdapterIgnored": "manifests that the base model answered, wholly or in part, instead of the adapter",
    "OtherAdapter": "jobs that another adapter answered",
    "DeeperLevel": "jobs with labels below level 3, kept in labels_l3 with their names",
}


def queries(report: Report) -> tuple[str, ...]:
    """SQL on the load's tables that has an answer: labels, the most certain hits, what was not moderated.

    Run with the load alone in sight; a load without a row has none.
    """
    found = []
    if report.labels:
        found.append(
            "SELECT l1, count(DISTINCT source_ref) AS images FROM labels_in_use GROUP BY l1 ORDER BY 2 DESC"
        )
        deepest = min(max(len(entry.path) for entry in report.labels), max(LABELS))
        levels = ", ".join(f"l{level}" for level in range(1, deepest + 1))
        table = f"{LABELS[deepest].name}_in_use"
        found.append(
            f"SELECT source_ref, {levels}, confidence FROM {table} "  # noqa: S608 - names of ours
            f"ORDER BY {deepest + 2} DESC LIMIT 20"
        )
    if report.content_types:
        found.append(
            "SELECT content_type, count(*) AS images, max(max_confidence) AS highest FROM images GROUP BY 1"
        )
    if report.failures:
        found.append(
            "SELECT error_code, error_message, origin, source_ref FROM images WHERE status <> 'moderated'"
        )
    return tuple(found)


def to_text(report: Report, *, command: str = "moderation") -> str:
    """The report as text.

    :param command: how a person calls the command line.
    """
    sections = [
        _head(report),
        _images(report),
        _labels(report),
        _content_types(report),
        _failures(report),
        _anomalies(report),
        _cost(report),
        _places(report, command),
        _queries(report, command),
    ]
    return "\n\n".join("\n".join(section) for lines in sections if (section := list(lines))) + "\n"


def _head(report: Report) -> Iterator[str]:
    load = report.load
    models = " and ".join(sorted(name for name in report.models if name))
    adapter = f" · adapter {load['adapter']}" if load["adapter"] else ""
    model = f"model {models or '–'}{adapter}"
    yield f"Load {load['load_id']} · published {load['published_at']:%Y-%m-%d %H:%M} UTC"
    yield _clip(f"{as_known(load['source'])} · MinConfidence {load['min_confidence']:g} · {model}", WIDTH)
    yield _clip(f"Thresholds in use: {report.thresholds.says}", WIDTH)
    yield "─" * WIDTH
    if said := notice(report.models):
        yield from textwrap.wrap(f"OFFLINE MODEL. {said}", WIDTH)


def _images(report: Report) -> Iterator[str]:
    load = report.load
    total = load["images"]
    yield _row("Images in this load", total)
    yield _row("  moderated", load["moderated"], total)
    yield _row("    of these with a label", report.flagged, total)
    if load.get("copies"):
        yield _row(f"    of these copies of others ({load['contents']:,} contents)", load["copies"], total)
    yield _row("  failed", load["failed"], total)
    yield _row("  not attempted", load["not_attempted"], total)
    if load["superseded"]:
        yield _row("Published meanwhile by another load", load["superseded"])
    if load["already_moderated"]:
        told_apart = load.get("refused_before") is not None
        name = "Moderated before, left out" if told_apart else "Moderated or refused before, left out"
        yield _row(name, load["already_moderated"])
    if load.get("refused_before"):
        yield _row("Refused before and unchanged, left out", load["refused_before"])
    if load["ignored"]:
        yield _row("Files that are no images, ignored", load["ignored"])
    if total == 0:
        yield "Nothing new: there was no image to moderate."


def _labels(report: Report) -> Iterator[str]:
    if not report.labels:
        return
    yield _title("Labels", "images")
    most = max(entry.images for entry in report.labels)
    for entry in report.labels:
        depth = len(entry.path) - 1
        name = "  " + "   " * depth + ("› " if depth else "") + entry.path[-1]
        share = f"{100 * entry.images / report.load['moderated']:6.1f} %" if report.load["moderated"] else ""
        bar = "█" * max(1, round(_BAR * entry.images / most))
        yield f"{_clip(name, _NAME):<{_NAME}}{entry.images:>{_NUMBER},}{share:>9}  {bar}".rstrip()


def _content_types(report: Report) -> Iterator[str]:
    if report.content_types:
        yield _title("Content types", "images")
        for name, images in report.content_types.items():
            yield _row(f"  {name.replace('_', ' + ')}", images, report.load["moderated"])


def _failures(report: Report) -> Iterator[str]:
    if not report.failures:
        return
    yield _title("Not moderated", "images")
    for failure in report.failures:
        yield _row(f"  {failure.code} ({failure.status.replace('_', ' ')})", failure.images)
        example = failure.example.encode("unicode_escape").decode("ascii")
        yield from _wrapped(f"for example {example}")
        if failure.message:
            yield from _wrapped(failure.message)
        yield from _wrapped(f"→ {failure.remedy}")


def _anomalies(report: Report) -> Iterator[str]:
    if report.anomalies:
        yield _title("Answers that fit no image (table anomalies)", "rows")
        for kind, rows in report.anomalies.items():
            yield _row(f"  {kind}: {_ANOMALY_TEXT.get(kind, 'see the message of each row')}", rows)


def _cost(report: Report) -> Iterator[str]:
    load = report.load
    yield f"Cost on AWS   ${load['cost_usd']:,.4f} for {load['billed']:,} analysed images at the set prices"
    if said := notice(report.models):
        yield from textwrap.wrap(said, WIDTH, initial_indent=" " * 14, subsequent_indent=" " * 14)
    if len(report.models) > 1:
        for model, images in report.models.items():
            yield _row(f"  by {'an unnamed model' if model is None else f'model {model}'}", images)


def _places(report: Report, command: str) -> Iterator[str]:
    """Paths stand alone, so that a long one can still be copied whole."""
    load = report.load
    yield f"Parquet       {load['files']:,} files of this load, {load['bytes'] / 1e6:,.2f} MB, below"
    yield f"              {report.tables_uri}"
    if report.parquet_mirror:
        yield f"  local copy  {report.parquet_mirror}"
    yield f"DuckDB        {report.warehouse}"
    if report.page:
        yield f"Report page   {report.page}"
    if load["images"]:
        yield f"Images        {asking_services(command, 'console', '--job', load['load_id'])}"


def asking_services(command: str, *arguments: str) -> str:
    """A command that asks S3 or Rekognition, to paste.

    :param command: how a person calls ``moderation``; with ``--local`` it asks the checkout's services, which
        a run stops at its end, so they are started first.
    """
    services = "make services && " if "--local" in command.split() else ""
    return f"{services}{command} {' '.join(arguments)}"


def _queries(report: Report, command: str) -> Iterator[str]:
    asked = queries(report)
    if asked:
        yield "Ask further"
    for query in asked:
        yield f"  {command} query --load {report.load['load_id']} \\"
        yield f'    "{query}"'


def _title(name: str, unit: str) -> str:
    return f"{name:<{_NAME}}{unit:>{_NUMBER}}"


def _row(name: str, count: int, total: int | None = None) -> str:
    share = f"{100 * count / total:6.1f} %" if total else ""
    return f"{_clip(name, _NAME):<{_NAME}}{count:>{_NUMBER},}{share:>9}".rstrip()


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent="      ", subsequent_indent="      ", break_long_words=True, max_lines=3
    )


def _clip(text: str, width: int) -> str:
    """Names of labels, models and places come from outside, and steer no terminal."""
    text = wording.foreign(text)
    return text if len(text) <= width else text[: width - 1] + "…"
