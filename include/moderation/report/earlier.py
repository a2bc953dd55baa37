"""Where a run that published nothing points: what was published before it."""

from __future__ import annotations

from collections.abc import Iterator

from moderation.report.page.store import place_of_load
from moderation.report.text import asking_services
from moderation.settings import Settings
from moderation.tables.published import read_loads


def earlier(settings: Settings) -> str:
    """Name the last load, its page, the warehouse and how to ask it; "" where nothing is published.

    :raises moderation.tables.faults.TablesError: the tables cannot be read.
    """
    loads = read_loads(settings)
    if not loads.num_rows:
        return ""
    return "\n" + "\n".join(_lines(settings, loads.slice(loads.num_rows - 1).to_pylist()[0])) + "\n"


def _lines(settings: Settings, load: dict[str, object]) -> Iterator[str]:
    yield f"Last load     {load['load_id']} · published {load['published_at']:%Y-%m-%d %H:%M} UTC"
    yield f"              {load['images']:,} images, {load['moderated']:,} moderated"
    if page := place_of_load(settings, str(load["load_id"])):
        yield f"Report page   {page}"
    yield f"Images        {asking_services(settings.command, 'console', '--job', str(load['load_id']))}"
    yield f"DuckDB        {settings.warehouse_path}"
    yield f"Ask           {settings.command} query images_by_label"
