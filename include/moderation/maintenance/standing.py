"""Merging, bringing back and erasing in the tables that belong to no load."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from moderation.maintenance import cleaning
from moderation.publish import shadow_answers
from moderation.publish.adapters import publish_after
from moderation.publish.standing import (
    StandingGoneError,
    StandingTable,
    begin_anew,
    open_standing,
    read_list,
)
from moderation.schema import TableSpec
from moderation.settings import Settings
from moderation.storage.files import Storage, absolute
from moderation.tables import checksums
from moderation.tables.catalog import load_table
from moderation.tables.standing import ADAPTERS, SHADOW_ANSWERS, STANDING
from moderation.tables.swap import forget_taken_out, giving_way

_log = logging.getLogger(__name__)


def compact(settings: Settings, *, keep: timedelta, orphan_age: timedelta) -> Iterator[dict[str, Any]]:
    """Merge each table's files to one a day, then expire snapshots and remove what nothing needs.

    :returns: fields of `compaction.CompactedTable`.
    """
    for spec in STANDING.values():
        with open_standing(settings, spec) as table:
            merged = table.merge()
            now = datetime.now(UTC)
            expired, removed = _clean(table, before=now - keep, files_before=now - orphan_age)
            yield {"table": spec.name, "merged": merged, "expired": expired, "removed": removed}


def bring_back(settings: Settings, *, into: Settings | None = None) -> dict[str, int]:
    """Make the tables what their lists say, here or in another place; returns how many files each has.

    What adapters and shadows keep makes their tables anew, where files of these are lost or damaged.

    :raises StandingError: a list is damaged, or a file that it names is gone and nothing else has its rows.
    """
    target = into or settings
    for spec in STANDING.values():
        if into:
            _adopt(settings, spec, into)
    publish_after(target)  # the registry has what the table of adapters may have lost
    shadow_answers.bring_back(target)
    found = {}
    for spec in STANDING.values():
        with open_standing(target, spec) as table:
            found[spec.name] = len(table.data_files())
    return found


def _adopt(source: Settings, spec: TableSpec, into: Settings) -> None:
    with Storage(source) as storage:
        if read_list(source, spec, storage).etag is None:
            with open_standing(source, spec):  # makes the list that was lost anew, from the table
                pass
    try:
        with open_standing(into, spec) as table:
            table.adopt(source)
    except StandingGoneError as error:
        if spec not in {ADAPTERS, SHADOW_ANSWERS}:
            raise
        _log.warning("%s is not taken over from the other tables: %s", spec.name, error)
        if spec == SHADOW_ANSWERS:
            shadow_answers.give_up_files(into, error)
        else:
            begin_anew(into, spec)


def forget_what_was(settings: Settings, spec: TableSpec) -> int:
    """Delete, now, all that tells what rows of the table were before they were changed.

    Ours is the only writer, so whatever no list names is rubbish at once. Who reads an older snapshot at this
    moment is told that a file is gone.

    :returns: files that were deleted.
    """
    with open_standing(settings, spec) as table:
        if (opened := load_table(table.catalog, spec)) is not None:
            giving_way(partial(forget_taken_out, opened))
        later = datetime.now(UTC) + timedelta(days=1)
        return _clean(table, before=later, files_before=later)[1]


def missing(settings: Settings, spec: TableSpec, storage: Storage, shown: set[str]) -> list[str]:
    """URIs of files that the table's list names and that readers do not have.

    :param shown: URIs that they have.
    """
    root = absolute(settings.tables_uri)
    wanted = {f"{root}/{path}" for path in read_list(settings, spec, storage).files}
    return sorted(wanted - shown)


def _clean(table: StandingTable, *, before: datetime, files_before: datetime) -> tuple[int, int]:
    """Expire snapshots that were replaced, and delete files; returns how many of each."""
    opened = load_table(table.catalog, table.spec)
    if opened is None or opened.current_snapshot() is None:
        return 0, 0
    expired = cleaning.expire_snapshots(opened, before=before)
    removed = 0
    for uri in cleaning.unneeded_files(
        table.settings, table.spec, table.catalog, table.storage, before=files_before
    ):
        table.storage.delete(uri)
        checksums.forget(table.storage.s3_client, table.settings, uri)
        removed += 1
    return expired, removed
