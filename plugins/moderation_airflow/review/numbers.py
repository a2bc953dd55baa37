"""The numbers told from verdicts, each week."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moderation.publish.review_numbers import publish_numbers
from moderation.report.page.store import write_numbers_page
from moderation.review import mark
from moderation.review.statistics.draws import drawn
from moderation.review.statistics.numbers import numbers_of
from moderation.settings import Settings
from moderation_airflow import alerts, metrics


def tell(context: Mapping[str, Any]) -> dict[str, Any]:
    """Show readers the numbers of today, write their page, and say whose precision is not where it was.

    May be repeated: a day's numbers replace that day's. Pseudonyms stand for people.

    :param context: the task's, for the message to those who are told of failures.
    :returns: ``numbers``, how many rows; ``page``, its URI; ``left``, a sentence for each precision that
        left the interval that it had.
    :raises StateLostError: some verdicts were lost; the text says what to do.
    :raises moderation.errors.WarehouseMissingError: nothing was published yet.
    """
    settings = Settings.from_env()
    with mark.opened(settings) as state:
        draws = drawn(state)
    told = numbers_of(settings, draws=draws if draws.num_rows else None)
    left = [str(one) for one in publish_numbers(settings, told)]
    page = write_numbers_page(settings, told)
    metrics.emit_precision_left(len(left))
    if left:
        alerts.precision_left(context, left, page)
    return {"numbers": told.rows.num_rows, "page": page, "left": left}
