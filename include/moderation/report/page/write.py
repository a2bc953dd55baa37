"""The report page: one self-contained HTML file over all loads and one for each load.

No script and no outside resource: charts are inline SVG drawn beforehand, and the page's own policy forbids
anything else. It can be opened from disk, mailed, or put in any bucket.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from moderation.errors import WarehouseUnusableError
from moderation.report.page.data import Report, read
from moderation.report.page.view import render
from moderation.storage.whole_file import write_whole
from moderation.warehouses import missing
from moderation.warehouses.reading import DEFAULT_WAIT_SECONDS, bounded, open_warehouse

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")


@dataclass(frozen=True)
class ReportFiles:
    """What was written.

    :param index: the page over all loads.
    :param load: the page of the load that was asked for, if any.
    :param lacks: what of all that is published the pages do not hold, in one line; None for nothing.
    """

    index: Path
    load: Path | None
    lacks: str | None = None


def write_report(
    warehouse: Path | str,
    folder: Path | str,
    *,
    load_id: str | None = None,
    stored: Collection[str] = (),
    in_a_run: bool = False,
    wait_seconds: float = DEFAULT_WAIT_SECONDS,
    now: datetime | None = None,
    command: str = "moderation",
) -> ReportFiles:
    """Write ``index.html`` over all loads and, for one load, ``loads/<load_id>.html``.

    Pages of other loads stay; the index links those that are there. Each file appears whole or not at all.

    :param warehouse: the DuckDB file.
    :param folder: where the pages go; made if need be.
    :param stored: names of loads' pages that lie elsewhere and will stand beside the index.
    :param in_a_run: the run's completion report and the list of runs will stand beside them.
    :param wait_seconds: how long to wait while another process writes to the warehouse.
    :param now: the time that the pages name; the present by default.
    :param command: how a person calls the command line.
    :raises WarehouseError: the warehouse cannot be read, or has no such load.
    """
    folder, written = Path(folder), now or datetime.now(UTC)
    # All is read before the first chart is drawn: what reads and what draws both take much memory.
    of_load = _read(warehouse, wait_seconds, load_id, command) if load_id is not None else None
    report = _read(warehouse, wait_seconds, None, command)
    load_page = None
    if load_id is not None and of_load is not None:
        load_page = folder / "loads" / load_file(load_id)
        completion = f"completion/{load_id}/report.html"
        beside = f"../{completion}" if in_a_run or (folder / completion).is_file() else None
        text = render(
            of_load, load=of_load.loads[0], links={}, beside=beside, written=written, command=command
        )
        _write(load_page, text)
    links = {
        load["load_id"]: f"loads/{load_file(load['load_id'])}"
        for load in report.loads
        if load_file(load["load_id"]) in stored or (folder / "loads" / load_file(load["load_id"])).is_file()
    }
    index = folder / "index.html"
    runs = "runs.html" if in_a_run or (folder / "runs.html").is_file() else None
    _write(index, render(report, load=None, links=links, beside=runs, written=written))
    return ReportFiles(index=index, load=load_page, lacks=report.lacks)


def load_file(load_id: str) -> str:
    """Name of a load's page: its id, or a hash of an id that is no safe file name."""
    if _FILE_NAME.fullmatch(load_id):
        return f"{load_id}.html"
    return f"load-{hashlib.sha256(load_id.encode()).hexdigest()[:16]}.html"


def _read(warehouse: Path | str, wait_seconds: float, load_id: str | None, command: str) -> Report:
    shown = open_warehouse(warehouse, wait_seconds=wait_seconds, load_id=load_id)
    with shown as connection, bounded(connection):
        try:
            lacks = missing.told(warehouse, connection, command=command)
            return replace(read(connection), lacks=lacks)
        except duckdb.CatalogException as error:
            raise WarehouseUnusableError(f"{warehouse}: not this pipeline's warehouse: {error}") from error
        except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
            raise WarehouseUnusableError(f"{warehouse}: its figures could not be counted: {error}") from error


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # A web server of another user may show it, whatever this process's umask.
    write_whole(path, text.encode(), mode=0o644)
