"""How many verified predictions were right and wrong: counts of distinct contents, not rates."""

from __future__ import annotations

from typing import Any

import duckdb

from moderation.review.statistics.frames import Frames

KEYS = ("model_version", "adapter", "threshold")
"""What is never pooled."""

SLICES: tuple[str | None, ...] = (None, "content_type", "load_id", "week")
"""What numbers are also told by, one at a time; None: over all."""

_ABOUT = (*KEYS, "label", "level", "content_type", "load_id", "week")
_SETS = ", ".join(f"({', '.join((*KEYS, 'label', 'level', *([name] if name else [])))})" for name in SLICES)
WHOLE = "GROUPING(content_type) + GROUPING(load_id) + GROUPING(week) AS rolled"
"""Tells a slice whose value is null from a sum over all."""

# A content that two queues drew is one content. Of unlike truths, which one rule cannot give, neither counts.
_COUNTS = f"""
WITH once AS (
    SELECT {", ".join(KEYS)}, label, level, content_type, load_id, week, content, any_value(copies) AS copies,
        any_value(predicted) AS predicted,
        CASE WHEN count(DISTINCT truth) > 1 THEN NULL ELSE any_value(truth) END AS truth
    FROM judged GROUP BY ALL
),
weighed AS (SELECT *, CASE WHEN $by_copies THEN copies ELSE 1 END AS w FROM once),
counted AS (
    SELECT {", ".join(KEYS)}, label, level, content_type, load_id, week, {WHOLE},
        coalesce(sum(w) FILTER (predicted AND truth = 'present'), 0)::BIGINT AS tp,
        coalesce(sum(w) FILTER (predicted AND truth = 'absent'), 0)::BIGINT AS fp,
        coalesce(sum(w) FILTER (NOT predicted AND truth = 'present'), 0)::BIGINT AS fn,
        coalesce(sum(w) FILTER (NOT predicted AND truth = 'absent'), 0)::BIGINT AS tn,
        coalesce(sum(w) FILTER (truth = 'unsure'), 0)::BIGINT AS unsure
    FROM weighed GROUP BY GROUPING SETS ({_SETS})
),
known AS (
    SELECT {", ".join(KEYS)}, label, level, content_type, load_id, week, {WHOLE},
        sum(CASE WHEN $by_copies THEN copies ELSE contents END)::BIGINT AS contents,
        sum(CASE WHEN $by_copies THEN flagged_copies ELSE flagged END)::BIGINT AS flagged,
        min(week) AS first_week, max(week) AS last_week
    FROM populations GROUP BY GROUPING SETS ({_SETS})
)
SELECT {", ".join(f"coalesce(c.{name}, p.{name}) AS {name}" for name in _ABOUT)},
    coalesce(tp, 0) AS tp, coalesce(fp, 0) AS fp, coalesce(fn, 0) AS fn, coalesce(tn, 0) AS tn,
    coalesce(unsure, 0) AS unsure, coalesce(c.rolled, p.rolled) AS rolled, contents, flagged, p.first_week,
    p.last_week
FROM counted AS c FULL JOIN known AS p ON
    {" AND ".join(f"c.{name} IS NOT DISTINCT FROM p.{name}" for name in _ABOUT if name != "level")}
    AND c.rolled = p.rolled
-- What has no content type, as an erased image, is part of all and of no slice.
WHERE coalesce(c.rolled, p.rolled) = {len(SLICES) - 1}
    OR coalesce(c.content_type, c.load_id, c.week, p.content_type, p.load_id, p.week) IS NOT NULL
ORDER BY ALL
"""  # noqa: S608 - names of ours


def counts(frames: Frames, *, by_copies: bool = False) -> list[dict[str, Any]]:
    """Counts by model, adapter, threshold and label: over all, and by content type, load and week.

    :returns: a dict each with ``KEYS``, ``label``, ``level``, ``content_type``, ``load_id``, ``week`` (null:
    over
        all), ``tp fp fn tn unsure``, and of the whole population ``contents``, ``flagged``, ``first_week``,
        ``last_week``, null where no population was given.
    """
    with duckdb.connect() as connection:
        connection.register("judged", frames.judged)
        connection.register("populations", frames.populations)
        found = connection.sql(_COUNTS, params={"by_copies": by_copies}).to_arrow_table()
    rows: list[dict[str, Any]] = found.to_pylist()
    return rows
