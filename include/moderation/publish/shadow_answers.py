"""What shadows answered, into the table ``shadow_answers``; never into ``images`` or the ledger."""

from __future__ import annotations

import logging
from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from moderation.adapters.shadow import answers
from moderation.adapters.shadow.sample import Shadow, ShadowError, find, ids, load
from moderation.analyse.detect.request import DetectOptions
from moderation.publish.standing import StandingGoneError, begin_anew, open_standing
from moderation.schema import physical_schema
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.tables.standing import SHADOW_ANSWERS

_KEY = "answer_id"

_log = logging.getLogger(__name__)


def forget_shadow_answers(settings: Settings, contents: Collection[str]) -> int:
    """Take the rows of contents out of the table; may be repeated. Older snapshots still have them.

    :returns: how many rows.
    :raises StandingError: the table's own list is damaged, or a file is gone.
    :raises StandingBusyError, lease.LeaseBusy: another publish is under way.
    """
    gone = pa.array(sorted(contents), pa.string())
    with open_standing(settings, SHADOW_ANSWERS) as table:
        rows = pa.Table.from_batches(table.rows(), physical_schema(SHADOW_ANSWERS))
        named = pc.is_in(rows.column("content"), value_set=gone)
        kept = rows.filter(pc.invert(named))
        if kept.num_rows != rows.num_rows:
            table.replace_all(kept)
    return rows.num_rows - kept.num_rows


def publish_shadow(settings: Settings, shadow_id: str, *, options: DetectOptions | None = None) -> int:
    """Show readers what a shadow answered by now; may be repeated, also after a kill.

    Files of the table that are gone or damaged are made anew, as by :func:`bring_back`.

    :returns: how many rows are there of it.
    :raises ShadowError: there is no such shadow.
    :raises StandingError: the table's own list is damaged, or what is gone cannot be made again.
    :raises StandingBusyError, lease.LeaseBusy: another publish is under way.
    """
    shadow = load(settings, shadow_id)
    if not _is_whole(settings):
        _publish_all(settings, options)
    return _publish(settings, shadow, options)


def bring_back(settings: Settings, *, options: DetectOptions | None = None) -> None:
    """Make the table whole again from what the shadows keep, whatever of it is lost or damaged.

    :raises ShadowError: the table is damaged, and a shadow too.
    :raises StandingError: the table's own list is damaged, or what is gone cannot be made again.
    """
    _is_whole(settings)
    _publish_all(settings, options)


def _is_whole(settings: Settings) -> bool:
    """Whether all files of the table are as they were written; else it has no row from now on.

    Nobody can read the tables of the runs beside a file that is lost, so it goes first.
    """
    try:
        with open_standing(settings, SHADOW_ANSWERS) as table:
            table.check()
    except StandingGoneError as error:
        give_up_files(settings, error)
        return False
    return True


def give_up_files(settings: Settings, why: StandingGoneError) -> None:
    """Let the table have no file, where the shadows keep all that was in it.

    :param why: what is lost of it.
    :raises StandingGoneError: an erasure ended a shadow, whose other rows nothing else has.
    :raises ShadowError: a shadow is damaged.
    """
    with s3_objects.open_client(settings) as s3:
        shadows = [find(s3, settings, shadow_id) for shadow_id in ids(s3, settings)]
    if ended := [shadow.shadow_id for shadow in shadows if shadow and not shadow.images]:
        raise StandingGoneError(
            f"{why}. It cannot be made anew: the table alone has what the shadow {ended[0]} answered about "
            "other images than those that were erased"
        )
    _log.warning("the table shadow_answers is made anew, from %d shadows: %s", len(shadows), why)
    begin_anew(settings, SHADOW_ANSWERS)
    with open_standing(settings, SHADOW_ANSWERS):
        pass  # it shows readers the list


def _publish_all(settings: Settings, options: DetectOptions | None) -> None:
    """Show readers every shadow that they lack; a damaged one keeps no other from them."""
    with s3_objects.open_client(settings) as s3:
        known = ids(s3, settings)
    for shadow_id in known:
        try:
            _publish(settings, load(settings, shadow_id), options)
        except ShadowError as error:
            _log.warning("%s", error)


def _publish(settings: Settings, shadow: Shadow, options: DetectOptions | None) -> int:
    rows = answers.rows(settings, shadow, options=options)
    if rows.num_rows:
        with open_standing(settings, SHADOW_ANSWERS) as table:
            table.append(rows, key=_KEY)
    return int(rows.num_rows)
