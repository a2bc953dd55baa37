"""The frames that numbers are told from, made of the published tables: `images`, `labels`, `verdicts` and
its views.

An answer is judged by what counts about its content (the view `labels_verified`), whoever was asked and
whichever model answered. A draw is used for the answers that it was drawn from, and for no other model's:
their flagged images are others. Erased verdicts still count: each as a content of its own, for nothing tells
more of it.
"""

from __future__ import annotations

from contextlib import nullcontext
from datetime import date

import duckdb
import pyarrow as pa

from moderation.policy.thresholds import Thresholds
from moderation.reference.content import SUBJECT_SQL
from moderation.reference.taxonomy import taxonomy
from moderation.review.statistics.answered.populations import (
    IN_SLICE,
    LABEL,
    WEEK,
    Slice,
    Turn,
    populations,
)
from moderation.review.statistics.frames import DRAWS, JUDGED, POPULATIONS, Frames
from moderation.warehouses.views import verdict_views

_VERIFIED = verdict_views.selects(
    verdict_views.DUCKDB, lambda name: f"spoken_{name}" if name in {"images", "labels"} else name
)[verdict_views.VERIFIED]
"""The view `labels_verified`, of what somebody spoke of."""

_ANSWER = "load_id, model_version, adapter, min_confidence, week"
"""Whose answer it is, and when: what is counted apart."""

_SEEN = f"""load_id, manifest_id, line_number, model_version, adapter, content_type, dt, moderated_at,
coalesce(min_confidence, 0) AS min_confidence, hash(source_ref) AS source, {SUBJECT_SQL} AS content"""
"""Columns of an answered row of `images`, of which the newest of its content counts."""

_DRAWN = "draw, design, stratum, inclusion_probability"

# What somebody spoke of: its images in whichever load, and what these answers list.
_SPOKEN = f"""
CREATE TEMP TABLE spoken AS SELECT DISTINCT content FROM verdicts WHERE content IS NOT NULL;

CREATE TEMP TABLE spoken_images AS
SELECT {_SEEN}, source_ref, status, etag, size_bytes, label_count FROM images
WHERE status = 'moderated' AND {SUBJECT_SQL} IN (SELECT content FROM spoken);

CREATE TEMP TABLE spoken_labels AS
SELECT load_id, manifest_id, line_number, level, l1, l2, l3, v7_l1, v7_l2, v7_l3, name, confidence,
    {LABEL} AS label
FROM labels SEMI JOIN spoken_images USING (load_id, manifest_id, line_number);
"""  # noqa: S608 - names of ours

# No window: those of one image under a million keys would have to be in memory together.
_ANSWERED = f"""
CREATE TEMP TABLE answered AS
WITH given AS (SELECT * FROM spoken_images WHERE {IN_SLICE}), best AS (
    SELECT count(DISTINCT source) AS copies, max(struct_pack(
        at := coalesce(moderated_at, '-infinity'::TIMESTAMPTZ), load_id := load_id,
        manifest_id := manifest_id, line := -line_number
    )) AS newest
    FROM given GROUP BY content, model_version, adapter, min_confidence
)
SELECT given.* EXCLUDE (source, moderated_at, dt), copies, {WEEK} AS week
FROM given JOIN best ON given.load_id = newest.load_id AND given.manifest_id = newest.manifest_id
    AND given.line_number = -newest.line
"""  # noqa: S608 - names of ours

_TRUTHS = f"""
CREATE TEMP TABLE listed AS
SELECT a.content, {", ".join(f"a.{name}" for name in _ANSWER.split(", "))}, a.content_type, a.copies,
    l.label, l.confidence, n.threshold_wanted
FROM answered AS a
JOIN (
    SELECT load_id, manifest_id, line_number, label, max(confidence) AS confidence
    FROM spoken_labels GROUP BY ALL
) AS l USING (load_id, manifest_id, line_number)
LEFT JOIN nodes AS n ON n.label = l.label;

CREATE TEMP TABLE standing_truths AS
SELECT content, label, any_value(truth) AS truth
FROM (
    SELECT content, label, truth FROM ({_VERIFIED}) WHERE truth IS NOT NULL
    UNION ALL SELECT content, label, truth FROM verdicts_current WHERE subject = 'label'
) GROUP BY ALL;

CREATE TEMP TABLE whole AS
SELECT DISTINCT content FROM verdicts_current WHERE subject = 'image' AND truth IN ('nothing', 'complete');

CREATE TEMP TABLE drawn AS
SELECT DISTINCT content, load_id, queue_id || ':' || coalesce(seed, 0) AS draw, design, stratum,
    inclusion_probability
FROM verdicts WHERE content IS NOT NULL AND design IS NOT NULL AND queue_id IS NOT NULL
    AND inclusion_probability IS NOT NULL AND verdict NOT IN ('withdrawn', 'skipped', 'note');

CREATE TEMP TABLE flagged AS
SELECT content, {_ANSWER} FROM listed
WHERE confidence >= greatest(min_confidence, coalesce(threshold_wanted, 0)) GROUP BY ALL;
"""  # noqa: S608 - names of ours

# Who decides blind sees no answer, so their verdict names none: their item was drawn from the newest of the
# loads that the draw was of.
_BLIND = """
UPDATE drawn SET load_id = newest.load_id FROM (
    SELECT d.content, d.draw,
        arg_max(i.load_id, (coalesce(i.moderated_at, '-infinity'::TIMESTAMPTZ), i.load_id)) AS load_id
    FROM drawn AS d JOIN spoken_images AS i ON i.content = d.content
    WHERE d.load_id IS NULL AND (
        (SELECT count(*) FROM known_draws) = 0
        OR (d.draw, i.load_id) IN (SELECT draw, load_id FROM known_draws)
    ) GROUP BY ALL
) AS newest
WHERE drawn.load_id IS NULL AND newest.content = drawn.content AND newest.draw = drawn.draw
"""

# Nobody spoke of a label below one that is absent, or of any label of an image with nothing to flag: absent
# too.
_PAIRS = f"""
CREATE TEMP TABLE pairs AS
SELECT a.content, a.copies, n.label, n.level, n.l1, n.l2, n.l3, a.content_type, l.confidence,
    greatest(a.min_confidence, coalesce(n.threshold_wanted, 0)) AS threshold,
    coalesce(l.confidence >= greatest(a.min_confidence, coalesce(n.threshold_wanted, 0)), false) AS predicted,
    coalesce(t.truth, CASE WHEN w.content IS NOT NULL OR t1.truth = 'absent' OR t2.truth = 'absent'
        THEN 'absent' END) AS truth,
    {", ".join(f"a.{name}" for name in _ANSWER.split(", "))}, f.content IS NOT NULL AS flagged
FROM answered AS a CROSS JOIN nodes AS n
LEFT JOIN listed AS l ON l.content = a.content AND l.label = n.label AND l.load_id = a.load_id
    AND l.model_version IS NOT DISTINCT FROM a.model_version AND l.adapter IS NOT DISTINCT FROM a.adapter
    AND l.min_confidence = a.min_confidence
LEFT JOIN flagged AS f ON f.content = a.content AND f.load_id = a.load_id
    AND f.model_version IS NOT DISTINCT FROM a.model_version AND f.adapter IS NOT DISTINCT FROM a.adapter
    AND f.min_confidence = a.min_confidence
LEFT JOIN standing_truths AS t ON t.content = a.content AND t.label = n.label
LEFT JOIN standing_truths AS t1 ON t1.content = a.content AND t1.label = n.l1 AND n.level > 1
LEFT JOIN standing_truths AS t2 ON t2.content = a.content AND t2.label = n.l2 AND n.level > 2
LEFT JOIN whole AS w ON w.content = a.content;

CREATE TEMP TABLE all_pairs AS
SELECT * FROM pairs WHERE truth IS NOT NULL OR predicted
UNION ALL BY NAME
-- The image as a whole: present when any label is; absent when nothing is left that could be.
SELECT content, any_value(copies) AS copies, 0 AS level, any_value(content_type) AS content_type,
    max(confidence) AS confidence, min(greatest(min_confidence, coalesce($default, 0))) AS threshold,
    bool_or(predicted) AS predicted,
    CASE WHEN bool_or(truth = 'present') THEN 'present'
        WHEN bool_or(truth = 'disputed') THEN 'disputed'
        WHEN bool_or(truth = 'unsure') THEN 'unsure'
        WHEN count(*) FILTER (level = 1 AND truth = 'absent') = count(*) FILTER (level = 1)
            OR bool_or(predicted) AND bool_and(truth = 'absent') FILTER (predicted)
        THEN 'absent' END AS truth,
    {_ANSWER}, bool_or(predicted) AS flagged
FROM pairs GROUP BY content, {_ANSWER};
"""  # noqa: S608 - names of ours

_ERASED = """
SELECT 'erased ' || v.verdict_id AS content, 1::BIGINT AS copies, n.label, n.level, n.l1, n.l2, n.l3,
    NULL::VARCHAR AS content_type, CASE WHEN v.subject = 'label' THEN v.confidence END AS confidence,
    greatest(coalesce(v.min_confidence, 0), coalesce(n.threshold_wanted, 0)) AS threshold,
    coalesce(v.subject = 'label' AND v.confidence >= greatest(coalesce(v.min_confidence, 0),
        coalesce(n.threshold_wanted, 0)), false) AS predicted,
    CASE v.verdict WHEN 'nothing' THEN 'absent' ELSE v.verdict END AS truth, v.load_id, v.model_version,
    v.adapter, coalesce(v.min_confidence, 0) AS min_confidence,
    NULL::VARCHAR AS week, coalesce(v.subject = 'label' AND v.confidence IS NOT NULL, false) AS flagged,
    CASE WHEN v.design IS NOT NULL THEN v.queue_id || ':' || coalesce(v.seed, 0) END AS draw, v.design,
    v.stratum, v.inclusion_probability
FROM verdicts AS v JOIN nodes AS n ON v.subject = 'label' AND n.label = v.label OR v.verdict = 'nothing'
WHERE v.erased AND v.verdict IN ('present', 'absent', 'unsure', 'nothing')
    AND ($load IS NULL OR v.load_id = $load) AND ($since IS NULL OR v.dt >= $since)
    AND ($until IS NULL OR v.dt <= $until)
    AND v.model_version IS NOT NULL AND v.verdict_id NOT IN (SELECT replaces FROM verdicts WHERE replaces IS
    NOT NULL)
"""

_JUDGED = f"""
CREATE TEMP TABLE judged AS
SELECT p.*, {", ".join(f"d.{name}" for name in _DRAWN.split(", "))}
FROM all_pairs AS p LEFT JOIN drawn AS d ON d.content = p.content AND d.load_id = p.load_id
UNION ALL BY NAME {_ERASED}
"""  # noqa: S608 - names of ours

# Without the queues' own list, what was decided is taken for all that was drawn; their ids begin with their
# kind.
_DRAWS = """
SELECT draw, any_value(design) AS design, stratum,
    round(count(DISTINCT content) / any_value(inclusion_probability))::BIGINT AS stratum_size,
    count(DISTINCT content) AS stratum_drawn, unnest(list(DISTINCT load_id)) AS load_id,
    nullif(regexp_extract(draw,
        '^(job|band|policy|random_unflagged|stratified|adapter|filter|golden|dispute)-', 1), '')
        AS kind, NULL AS label, NULL AS low, NULL AS high
FROM judged WHERE draw IS NOT NULL AND truth IS NOT NULL GROUP BY draw, stratum
"""


def frames_of(
    connection: duckdb.DuckDBPyConnection,
    *,
    thresholds: Thresholds | None = None,
    draws: pa.Table | None = None,
    load_id: str | None = None,
    since: date | None = None,
    until: date | None = None,
    turn: Turn = nullcontext,
) -> Frames:
    """The frames, of all that is published or of a part.

    :param connection: with the tables and views of a warehouse or of `query.published_views.open_published`;
        temporary tables are made in it.
    :param thresholds: those in use; what each job was asked by default.
    :param draws: as `frames.DRAWS`, from the queues. Without them what was decided is taken for all that was
    drawn:
        right once a queue is done.
    :param load_id: answers of this load only.
    :param since: answers of days (``dt`` of the load) from this one on.
    :param until: answers of days up to this one.
    :param turn: each step is within one, where others share the machine's memory.
    """
    thresholds = thresholds or Thresholds()
    nodes = _nodes(thresholds)
    slice_of = {"load": load_id, "since": since, "until": until}
    with turn():
        judged = _judged(connection, nodes, thresholds, draws, slice_of)
        known = connection.sql(_DRAWS).to_arrow_table() if draws is None else draws
        verdicts = connection.sql("SELECT * FROM verdicts").to_arrow_table()
    answered = populations(connection, nodes, default=thresholds.default, of=slice_of, turn=turn)
    return Frames(
        judged=_in_form(judged, JUDGED),
        draws=_in_form(known, DRAWS),
        populations=_in_form(answered, POPULATIONS),
        verdicts=verdicts,
    )


def _judged(
    connection: duckdb.DuckDBPyConnection,
    nodes: pa.Table,
    thresholds: Thresholds,
    draws: pa.Table | None,
    slice_of: Slice,
) -> pa.Table:
    connection.register("nodes", nodes)
    connection.execute(_SPOKEN)
    connection.execute(_ANSWERED, dict(slice_of))
    connection.execute(_TRUTHS)
    if connection.execute("SELECT 1 FROM drawn WHERE load_id IS NULL LIMIT 1").fetchall():
        connection.register("known_draws", DRAWS.empty_table() if draws is None else draws)
        connection.execute(_BLIND)
    connection.execute(_PAIRS, {"default": thresholds.default})
    connection.execute(_JUDGED, dict(slice_of))
    return connection.sql(
        "SELECT *, NULL AS reviewer, NULL AS stratum_size, NULL AS stratum_drawn FROM judged"
    ).to_arrow_table()


def _nodes(thresholds: Thresholds) -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "label": node.name,
                "level": node.level,
                **{f"l{level}": node.path[level - 1] if level <= node.level else None for level in (1, 2, 3)},
                "threshold_wanted": thresholds.labels.get(node.name, thresholds.default),
            }
            for node in taxonomy()
        ],
        schema=pa.schema(
            [
                ("label", pa.string()),
                ("level", pa.int32()),
                *((f"l{level}", pa.string()) for level in (1, 2, 3)),
                ("threshold_wanted", pa.float64()),
            ]
        ),
    )


def _in_form(table: pa.Table, schema: pa.Schema) -> pa.Table:
    return table.select(schema.names).cast(schema)
