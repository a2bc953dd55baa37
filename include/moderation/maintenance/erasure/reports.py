"""Images taken out of reports: those beside plans, and the pages below ``work_uri`` and on this machine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import orjson

from moderation.errors import ModerationError
from moderation.maintenance.erasure import steps
from moderation.maintenance.erasure.answers import without
from moderation.maintenance.erasure.wanted import names_one, needles
from moderation.report import completion_page
from moderation.report.page.store import write_pages
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.storage.whole_file import write_whole

_log = logging.getLogger(__name__)
_BESIDE_PLANS = ("/report.json", "/report.html", "/report.txt")


def erase_in_reports(s3: Any, settings: Settings, refs: Collection[str], renew: Callable[[], None]) -> int:
    """Take images out of every report; returns how many files were changed or deleted. May be repeated.

    What can be drawn again from its data is; the page of a load is deleted, for :func:`draw_again`.
    """
    texts, changed = needles(refs), 0
    for uri in _in_s3(s3, settings):
        renew()
        stored = s3_objects.find(s3, uri)
        if stored is None or not names_one(stored.body, texts):
            continue
        body = _without(uri, stored.body, refs, texts, lambda: _beside(s3, uri))  # noqa: B023 - called at once
        if body is None:
            s3_objects.delete(s3, uri)
        else:
            s3_objects.put(s3, uri, body, content_type=_TYPES[uri.rpartition(".")[2]])
        changed += 1
    steps.reached("reports in S3")
    for path in sorted(settings.report_dir.rglob("*")) if settings.report_dir else ():
        if path.is_file() and names_one(stored_body := path.read_bytes(), texts):
            body = _without(path.name, stored_body, refs, texts, lambda: _on_disk(path))  # noqa: B023 - as above
            if body is None:
                path.unlink()
            else:
                write_whole(path, body)
            changed += 1
    return changed


def draw_again(settings: Settings, load_ids: Collection[str]) -> str | None:
    """Write the pages of loads from the warehouse as it is now; gives why they cannot be, if so."""
    for load_id in sorted(load_ids):
        try:
            write_pages(settings, load_id)
        except (ModerationError, OSError) as error:
            return f"the page of load {load_id} is not drawn again: {error}"
    return None


_TYPES = {"json": "application/json", "html": "text/html; charset=utf-8", "txt": "text/plain; charset=utf-8"}


def _in_s3(s3: Any, settings: Settings) -> Iterator[str]:
    """Plans' own first, JSON before the page that is drawn from it."""
    for folder, ends in (("runs", _BESIDE_PLANS), ("report", tuple(f".{kind}" for kind in _TYPES))):
        prefix = s3_objects.join_uri(settings.work_uri, folder) + "/"
        bucket = s3_objects.split_uri(prefix).bucket
        found = [entry["Key"] for entry in s3_objects.list_objects(s3, prefix)]
        ours = [f"s3://{bucket}/{key}" for key in found if key.endswith(ends)]
        yield from sorted(ours, key=lambda uri: (not uri.endswith(".json"), uri))


def _without(
    name: str,
    body: bytes,
    refs: Collection[str],
    texts: Collection[bytes],
    data: Callable[[], bytes | None],
) -> bytes | None:
    """A report without the images; None where it is to go.

    :param data: the JSON that a page is drawn from.
    """
    kept: bytes | None = None
    if name.endswith(".json"):
        kept = without(body, refs, texts)[0]
    elif name.endswith(".txt"):
        lines = body.splitlines(keepends=True)
        kept = b"".join(line for line in lines if not names_one(line, texts))
    elif name.endswith("report.html") and (told := data()):
        kept = _drawn(without(told, refs, texts)[0])
    return None if kept is None or names_one(kept, texts) else kept


def _drawn(data: bytes) -> bytes | None:
    try:
        report = orjson.loads(data)
        redo = f"redo {report['load_id']}"
        return completion_page.render(report, json_name="report.json", redo_command=redo).encode()
    except (ValueError, KeyError, TypeError) as error:
        _log.info("a completion report cannot be drawn again: %s", type(error).__name__)
        return None


def _beside(s3: Any, uri: str) -> bytes | None:
    stored = s3_objects.find(s3, uri.rpartition("/")[0] + "/report.json")
    return stored.body if stored else None


def _on_disk(path: Path) -> bytes | None:
    beside = path.with_name("report.json")
    return beside.read_bytes() if beside.is_file() else None
