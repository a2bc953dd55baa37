"""The numbers told from verdicts, into the table `review_numbers`: a day's computation replaces that
day's."""

from __future__ import annotations

import logging

import pyarrow as pa

from moderation.publish.standing import open_standing
from moderation.review.statistics.drift import Left, left_interval
from moderation.review.statistics.numbers import Numbers
from moderation.settings import Settings
from moderation.tables.standing import REVIEW_NUMBERS

_log = logging.getLogger(__name__)


def publish_numbers(settings: Settings, numbers: Numbers) -> list[Left]:
    """Show readers the numbers; may be repeated, also after a kill.

    :returns: labels whose precision left the interval that it had; each is a warning in the log, too.
    :raises StandingError: the table's own list is damaged, or a file is gone.
    :raises StandingBusyError, lease.LeaseBusy: another publish is under way.
    """
    rows = numbers.rows.sort_by([(name, "ascending") for name in ("measure", "label", "threshold")])
    with open_standing(settings, REVIEW_NUMBERS) as table:
        table.replace_days(pa.table(rows))
    left = left_interval(numbers.rows.to_pylist())
    for one in left:
        _log.warning("%s", one)
    return left
