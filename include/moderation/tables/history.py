"""Before money is spent: does the catalog still know everything that was published?"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

from pyiceberg.catalog import Catalog

from moderation.errors import NeedsAPersonError
from moderation.schema import IMAGES
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.storage.files import absolute
from moderation.storage.state import SealBroken, unseal
from moderation.tables import register
from moderation.tables.catalog import load_table, open_catalog
from moderation.tables.outcomes import OF_LOADS
from moderation.tables.published import known_load_ids, lost_rows

_log = logging.getLogger(__name__)

_NAMED = 3
_MARKER = re.compile(r"/plan-\d+/published\.json$")


class HistoryLostError(NeedsAPersonError):
    """The catalog or a table knows less than what was published: what is missing would be paid for again."""


def prove_history(settings: Settings, *, s3: Any, remember: bool = True) -> None:
    """Refuse to go on with tables that have lost something.

    :param s3: a boto3 client.
    :param remember: begin the register of published loads where there is none yet.
    :raises HistoryLostError: a published load is not in the catalog, or a table has lost rows.
    """
    published = register.load_ids(s3, settings)
    with open_catalog(settings) as catalog:
        _prove_place(settings, catalog)
        known = known_load_ids(catalog)
        if published is None:
            published = known | set(_marked(s3, settings))
            if remember:
                register.begin(s3, settings, published)
        if missing := published - known:
            raise HistoryLostError(_unknown(settings, missing, published))
        _prove_rows(settings, catalog)


def _prove_place(settings: Settings, catalog: Catalog) -> None:
    """Another install's catalog may know loads of the same ids: runs of the same name and time have them."""
    table = load_table(catalog, IMAGES)
    root = absolute(settings.tables_uri)
    if table is not None and not table.location().startswith(f"{root}/"):
        raise HistoryLostError(
            f"the catalog is of the tables at {table.location()}, and MODERATION_TABLES_URI is {root}: "
            "images that it does not know would be paid for again. Correct MODERATION_CATALOG_URI or "
            "MODERATION_TABLES_URI"
        )


def _unknown(settings: Settings, missing: set[str], published: set[str]) -> str:
    named = ", ".join(sorted(missing)[:_NAMED]) + (", …" if len(missing) > _NAMED else "")
    return (
        f"the catalog knows {len(published) - len(missing):,} of {len(published):,} published loads; "
        f"{named} {'is' if len(missing) == 1 else 'are'} missing, and images would be paid for again. If "
        "MODERATION_CATALOG_URI names another catalog than the one they were published to, correct it. If "
        f"the catalog is lost or set back, `{settings.command} rebuild` makes it anew from the kept answers, "
        "without paying. To begin anew on purpose, choose another MODERATION_WORK_URI"
    )


def _prove_rows(settings: Settings, catalog: Catalog) -> None:
    if lost := told_lost(settings, catalog):
        raise HistoryLostError(lost)


def told_lost(settings: Settings, catalog: Catalog) -> str:
    """What the tables have lost of published loads, and the remedy; empty when they have all."""
    told = "; ".join(
        f"the table {spec.name} has lost {count:,} rows of published loads"
        for spec, count in lost_rows(catalog, OF_LOADS)
    )
    return told and (
        f"{told}, and what is lost would be paid for again or be missing in every answer; "
        f"`{settings.command} rebuild` makes the tables anew from the kept answers, without paying"
    )


def _marked(s3: Any, settings: Settings) -> Iterator[str]:
    """Loads whose plans say that they are published; for what was published before there was a register."""
    runs = s3_objects.join_uri(settings.work_uri, "runs") + "/"
    bucket = s3_objects.split_uri(runs).bucket
    for entry in s3_objects.list_objects(s3, runs):
        if _MARKER.search(entry["Key"]):
            uri = f"s3://{bucket}/{entry['Key']}"
            try:
                yield str(unseal(s3_objects.read(s3, uri).body)["load_id"])
            except (SealBroken, KeyError) as error:
                _log.warning("%s is damaged: %s; whether its load is known cannot be told", uri, error)
