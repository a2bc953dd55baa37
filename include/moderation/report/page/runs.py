"""Every run's completion report beside the pages of loads, and the page that lists them.

A run that published nothing has no load, so no page over loads knows it. Both lie below ``work_uri``, and in
the settings' folder of report pages if they name one, under the same names: links between pages hold in both.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import orjson
from markupsafe import Markup

from moderation.report.page.view import environment
from moderation.report.page.write import load_file
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.storage.whole_file import write_whole

_log = logging.getLogger(__name__)

MOST_RUNS = 200
_THREADS = 8
_NAME = "runs.html"
_SUMMARY = "summary.json"
_FOLDER = re.compile(r"completion/([A-Za-z0-9][A-Za-z0-9._-]{0,119})/" + re.escape(_SUMMARY))


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """What the list says of a run.

    :param load_id: of its plan, whether that was published or not; its beginning is the run's time.
    :param page: whether the load has a page.
    """

    load_id: str
    published: bool
    page: bool
    outcome: str
    source: str
    written_at: str
    listed: int
    moderated: int
    failed: int
    cost_usd: float


def summary(report: Mapping[str, Any], *, load_id: str, page: bool) -> RunSummary:
    """The summary of a completion report.

    :param report: from ``completion.build_completion``.
    """
    counts = report.get("counts") or {}
    return RunSummary(
        load_id=load_id,
        published=report["load_id"] is not None,
        page=page,
        outcome=report["outcome"],
        source=report["source"],
        written_at=report["written_at"],
        listed=report["plan_totals"]["listed"],
        moderated=counts.get("moderated", 0),
        failed=counts.get("failed", 0),
        cost_usd=report.get("cost_usd") or (report.get("spent") or {}).get("usd", 0.0),
    )


def keep(settings: Settings, s3: Any, run: RunSummary, *, page: str, data: bytes) -> None:
    """Keep a completion report beside the pages of loads, and list it.

    :param page: the report as HTML.
    :param data: the same as JSON.
    :raises moderation.storage.s3_objects.S3Error: it cannot be stored.
    :raises OSError: the local folder cannot be written to.
    """
    files = {
        "report.json": (data, "application/json"),
        "report.html": (page.encode(), "text/html; charset=utf-8"),
        _SUMMARY: (orjson.dumps(asdict(run)), "application/json"),
    }
    root, folder = f"{settings.work_uri}/report", settings.report_dir
    for name, (body, content_type) in files.items():
        s3_objects.put(s3, f"{root}/completion/{run.load_id}/{name}", body, content_type=content_type)
        if folder and name != _SUMMARY:
            _write(folder / "completion" / run.load_id / name, body)
    runs = _listed(s3, root)
    s3_objects.put(s3, f"{root}/{_NAME}", render(runs).encode(), content_type="text/html; charset=utf-8")
    if folder:
        here = [run for run in runs if (folder / "completion" / run.load_id / "report.html").is_file()]
        # As the pages of loads: a web server of another user may show it.
        write_whole(folder / _NAME, render(here, pages_in=folder).encode(), mode=0o644)


def _listed(s3: Any, root: str) -> list[RunSummary]:
    """The latest runs, those that ended last first."""
    prefix = f"{root}/completion/"
    bucket = s3_objects.split_uri(prefix).bucket
    names = (
        s3_objects.join_uri(f"s3://{bucket}", entry["Key"]).removeprefix(f"{root}/")
        for entry in s3_objects.list_objects(s3, prefix)
    )
    latest = sorted((name for name in names if _FOLDER.fullmatch(name)), reverse=True)[:MOST_RUNS]
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="runs") as pool:
        bodies = list(pool.map(lambda name: s3_objects.find(s3, f"{root}/{name}"), latest))
    found = (
        _told(stored.body, f"{root}/{name}") for name, stored in zip(latest, bodies, strict=True) if stored
    )
    return sorted((run for run in found if run), key=lambda run: run.written_at, reverse=True)


def _told(body: bytes, uri: str) -> RunSummary | None:
    """A run's summary, of a later release too; None for one that is damaged: the list goes without."""
    try:
        content = orjson.loads(body)
        told = RunSummary(**{entry.name: content[entry.name] for entry in fields(RunSummary)})
        if any(
            type(getattr(told, name)) is not str for name in ("load_id", "outcome", "source", "written_at")
        ):
            raise TypeError("a text is none")
    except (ValueError, KeyError, TypeError) as error:
        _log.warning("%s is damaged (%s); its run is left out of the list", uri, error)
        return None
    return told


def render(runs: Sequence[RunSummary], *, pages_in: Path | None = None) -> str:
    """The page that lists runs, as text.

    :param runs: newest first.
    :param pages_in: link only the loads' pages that are in this folder.
    """
    css = resources.files(__package__).joinpath("templates", "page.css").read_text(encoding="utf-8")
    values = {
        "css": Markup(css),  # noqa: S704 - a file of this package
        "css_hash": "sha256-" + base64.b64encode(hashlib.sha256(css.encode()).digest()).decode(),
        "runs": [asdict(run) | {"load_page": _page_of(run, pages_in)} for run in runs],
        "most": MOST_RUNS,
        "has_index": bool(_pages(runs)) and (pages_in is None or (pages_in / "index.html").is_file()),
        "written": datetime.now(UTC),
    }
    return environment().get_template("runs.html.j2").render(values)


def _pages(runs: Iterable[RunSummary]) -> list[RunSummary]:
    return [run for run in runs if run.page]


def _page_of(run: RunSummary, pages_in: Path | None) -> str | None:
    name = f"loads/{load_file(run.load_id)}"
    return name if run.page and (pages_in is None or (pages_in / name).is_file()) else None


def _write(path: Path, body: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, body)
