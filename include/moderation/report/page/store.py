"""The report pages below ``work_uri``, where every worker and the web server find them."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from moderation.errors import NeedsAPersonError
from moderation.report.page.write import ReportFiles, load_file, write_report
from moderation.report.review.page import render
from moderation.review.statistics.numbers import Numbers
from moderation.settings import Settings
from moderation.storage import s3_objects

_PAGE = re.compile(
    r"index\.html|runs\.html|numbers\.html|loads/[A-Za-z0-9][A-Za-z0-9._-]{0,124}\.html"
    r"|completion/[A-Za-z0-9][A-Za-z0-9._-]{0,119}/report\.(html|json)"
)


class NoSuchPageError(NeedsAPersonError, LookupError):
    """There is no such page, or the name is none of a page."""


def write_pages(settings: Settings, load_id: str) -> ReportFiles:
    """Write a load's page and the one over all loads, and put both below ``work_uri``.

    :returns: the local files, in the settings' folder of report pages if they name one.
    :raises moderation.errors.WarehouseError: the warehouse cannot be read.
    :raises moderation.storage.s3_objects.S3Error: the pages cannot be stored.
    """
    with (
        tempfile.TemporaryDirectory(prefix="report-") as temporary,
        s3_objects.open_client(settings) as client,
    ):
        folder = settings.report_dir or Path(temporary)
        prefix = f"{_root(settings)}/loads/"
        bucket = s3_objects.split_uri(prefix).bucket
        stored = {
            s3_objects.join_uri(f"s3://{bucket}", entry["Key"]).removeprefix(prefix)
            for entry in s3_objects.list_objects(client, prefix)
        }
        files = write_report(
            settings.warehouse_path,
            folder,
            load_id=load_id,
            stored=stored,
            in_a_run=True,
            command=settings.command,
        )
        pages = {"index.html": files.index} | ({f"loads/{files.load.name}": files.load} if files.load else {})
        # The index last: what it links is there.
        for name, path in sorted(pages.items(), reverse=True):
            s3_objects.put(client, f"{_root(settings)}/{name}", path.read_bytes(), content_type="text/html")
        return files


def write_numbers_page(settings: Settings, numbers: Numbers) -> str:
    """Put the page that tells how good the answers are below ``work_uri``; returns its URI.

    :raises moderation.storage.s3_objects.S3Error: it cannot be stored.
    """
    uri = f"{_root(settings)}/numbers.html"
    with s3_objects.open_client(settings) as client:
        s3_objects.put(client, uri, render(numbers).encode(), content_type="text/html; charset=utf-8")
    return uri


def place_of_load(settings: Settings, load_id: str) -> str | None:
    """Where a load's page is: the local file, or the one below ``work_uri``; None where none is written."""
    name = f"loads/{load_file(load_id)}"
    if settings.report_dir and (settings.report_dir / name).is_file():
        return str(settings.report_dir / name)
    with s3_objects.open_client(settings) as client:
        stored = s3_objects.exists(client, f"{_root(settings)}/{name}")
    return f"{_root(settings)}/{name}" if stored else None


def read_page(settings: Settings, name: str) -> bytes:
    """A page's HTML.

    :param name: ``index.html``, ``runs.html``, ``numbers.html``, ``loads/….html`` or
        ``completion/…/report.html`` (``.json``); nothing else is ever looked up.
    :raises NoSuchPageError: see there.
    """
    if not _PAGE.fullmatch(name) or ".." in name:
        raise NoSuchPageError(name)
    return _read(settings, f"{_root(settings)}/{name}", name)


def read_completion(settings: Settings, plan_uri: str, name: str) -> bytes:
    """A run's completion report, as it lies beside its plan.

    :param name: ``report.html`` or ``report.json``.
    :raises NoSuchPageError: the run has left none, or what is asked for is none.
    """
    runs = s3_objects.join_uri(settings.work_uri, "runs") + "/"
    if name not in {"report.html", "report.json"} or not plan_uri.startswith(runs):
        raise NoSuchPageError(name)
    return _read(settings, f"{plan_uri.rpartition('/')[0]}/{name}", name)


def _read(settings: Settings, uri: str, name: str) -> bytes:
    with s3_objects.open_client(settings) as client:
        stored = s3_objects.find(client, uri)
    if stored is None:
        raise NoSuchPageError(name)
    return stored.body


def _root(settings: Settings) -> str:
    return f"{settings.work_uri}/report"
