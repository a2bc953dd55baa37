"""Items of a queue, from the published tables: one a distinct content, with the answer that is asked about.

Where several loads answered a content the newest answer is taken. What is drawn, or taken whole in random
order, has an inclusion probability and enters rates; items in question for other reasons train adapters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import duckdb

from moderation.policy import sql
from moderation.policy.rules import Policy
from moderation.policy.thresholds import Thresholds
from moderation.reference.content import SUBJECT_SQL
from moderation.review import sampling
from moderation.review.queue import Item, Kind, Queue, QueueError, QueueSpec
from moderation.review.queues import Queues
from moderation.review.state.database import few
from moderation.review.verdict import Purpose
from moderation.schema import IMAGES, MODERATED

STANDING_POLICY = "policy-standing"
STANDING_UNFLAGGED = "random_unflagged-standing"
"""Ids of the queues that each publish adds to."""

_BATCH = 10_000
_SEEN = ("source_ref", "etag", "size_bytes", "copies", "load_id", "manifest_id", "line_number")
_ASKED = ("max_confidence", "label_count", "adapter", "min_confidence")
"""Columns of `images` by which items are chosen, whatever the queue's filter says."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """By what answers are judged.

    :ivar policy: of kind *policy*; None where there is none.
    :ivar thresholds: in use, for what is flagged; None takes what each job was asked.
    """

    policy: Policy | None = None
    thresholds: Thresholds | None = None


def fill(
    connection: duckdb.DuckDBPyConnection,
    queues: Queues,
    queue: Queue,
    rules: Rules,
    *,
    load_id: str | None = None,
) -> int:
    """Add the items that the queue's options ask for; may be repeated, and then adds what is new.

    :param connection: over the published tables, with the views of `query.published_views`.
    :param load_id: take this load alone; None takes the one of the queue's options.
    :returns: how many items were added.
    :raises QueueError: it cannot be filled so.
    :raises StateError: not all were stored; filling it again adds the rest.
    """
    spec = queue.spec if load_id is None else replace(queue.spec, load_id=load_id)
    if load_id is not None:  # each load is a draw of its own
        spec = replace(spec, seed=sampling.seed_of(spec.seed, load_id))
    _answered(connection, spec, rules.thresholds or Thresholds())
    items = _KINDS[Kind(spec.kind)](connection, spec, rules)
    return queues.add_items(queue.queue_id, items, benign=_benign(connection, spec))


def fill_with(
    connection: duckdb.DuckDBPyConnection, queues: Queues, queue: Queue, items: Iterable[Item]
) -> int:
    """Add items that somebody chose, with what the queue's options mix in among them.

    :returns: how many items were added.
    :raises StateError: as :func:`fill`.
    """
    if queue.spec.benign_share:
        _answered(connection, queue.spec, Thresholds())
    return queues.add_items(queue.queue_id, items, benign=_benign(connection, queue.spec))


def fill_standing(
    connection: duckdb.DuckDBPyConnection,
    queues: Queues,
    rules: Rules,
    load_ids: Iterable[str],
    *,
    unflagged_percent: float,
) -> dict[str, int]:
    """Add to the standing queues what publishes have brought; may be repeated for a load.

    :param unflagged_percent: of the unflagged contents of each load that are drawn.
    :returns: how many items were added, by queue.
    :raises StateError: not all were stored; the same again adds the rest.
    """
    if rules.policy is not None:
        spec = QueueSpec(kind=Kind.POLICY, name="The policy asks for a person", standing=True)
        queues.create(spec, STANDING_POLICY)
    spec = QueueSpec(kind=Kind.RANDOM_UNFLAGGED, name="Nothing was flagged", standing=True)
    queues.create(spec, STANDING_UNFLAGGED)
    added: dict[str, int] = {}
    for load_id in load_ids:
        for queue in queues.all():
            if not queue.spec.standing or (queue.spec.kind == Kind.POLICY and rules.policy is None):
                continue
            if queue.spec.kind == Kind.RANDOM_UNFLAGGED and queue.spec.size is None:
                share = replace(queue.spec, filter={_PERCENT: unflagged_percent})
                queue = replace(queue, spec=share)  # noqa: PLW2901
            number = fill(connection, queues, queue, rules, load_id=load_id)
            added[queue.queue_id] = added.get(queue.queue_id, 0) + number
    return added


_PERCENT = "%"
"""In the place of a filter: which share of what fits is drawn."""


def _answered(connection: duckdb.DuckDBPyConnection, spec: QueueSpec, thresholds: Thresholds) -> None:
    """Make the tables ``answered``, a row a content with its newest answer, and ``listed``, its labels.

    Of `images` ``answered`` has what an item or the queue's options ask for, and no more.
    """
    where = "AND load_id = $load_id" if spec.load_id else ""
    # What is newest is found among what tells it alone: whole rows of a million images would take 600 MB.
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE newest AS
SELECT content, load_id, manifest_id, line_number, count(*) OVER (PARTITION BY content) AS copies
FROM (
    SELECT {SUBJECT_SQL} AS content, source_ref, moderated_at, load_id, manifest_id, line_number
    FROM images WHERE status = '{MODERATED}' {where}
    QUALIFY row_number() OVER (
        PARTITION BY source_ref ORDER BY moderated_at DESC NULLS LAST, load_id DESC
    ) = 1
)
QUALIFY row_number() OVER (
    PARTITION BY content ORDER BY moderated_at DESC NULLS LAST, load_id DESC, source_ref
) = 1""",  # noqa: S608 - names of ours
        {"load_id": spec.load_id} if spec.load_id else {},
    )
    named = [name for name in spec.filter or {} if name in IMAGES.schema.names]
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE answered AS
SELECT content, {", ".join(dict.fromkeys((*_SEEN, *_ASKED, *named)))}
FROM images JOIN newest USING (load_id, manifest_id, line_number)"""  # noqa: S608 - names of ours
    )
    connection.execute("DROP TABLE newest")
    connection.execute("CREATE OR REPLACE TEMP TABLE in_use (label VARCHAR, percent DOUBLE)")
    for label, percent in thresholds.labels.items():
        connection.execute("INSERT INTO in_use VALUES ($1, $2)", [label, percent])
    connection.execute(
        """CREATE OR REPLACE TEMP TABLE listed AS
SELECT content, label, max(confidence) AS confidence,
    bool_or(confidence >= coalesce(percent, $default, 0)) AS is_flagged
FROM (
    SELECT answered.content, labels.confidence,
        coalesce(labels.v7_l3, labels.v7_l2, labels.v7_l1, labels.name) AS label
    FROM labels JOIN answered USING (load_id, manifest_id, line_number)
) LEFT JOIN in_use USING (label)
GROUP BY content, label""",
        {"default": thresholds.default},
    )


def _of_job(connection: duckdb.DuckDBPyConnection, spec: QueueSpec, _: Rules) -> Iterator[Item]:
    """What has a label; with the option ``label``, that one."""
    return _of_labels(connection, spec, "SELECT content, label, confidence FROM listed")


def _of_band(connection: duckdb.DuckDBPyConnection, spec: QueueSpec, rules: Rules) -> Iterator[Item]:
    if spec.label is None:
        raise QueueError(f"queue {spec.name!r}: a band of confidence is of a label; name one")
    return _of_job(connection, spec, rules)


def _of_labels(connection: duckdb.DuckDBPyConnection, spec: QueueSpec, listed: str) -> Iterator[Item]:
    """Contents with a label between the confidences of the options."""
    wanted = {"low": spec.low or 0.0, "high": 101.0 if spec.high is None else spec.high}
    if spec.label is None:
        query = f"SELECT content, '', max(confidence) FROM ({listed}) GROUP BY content "  # noqa: S608
        query += "HAVING max(confidence) >= $low AND max(confidence) < $high"
    else:
        query = f"SELECT content, label, confidence FROM ({listed}) WHERE label = $label "  # noqa: S608
        query += "AND confidence >= $low AND confidence < $high"
        wanted["label"] = spec.label  # type: ignore[assignment]
    rows = {content: (label, percent) for content, label, percent in _rows(connection, query, wanted)}
    return _drawn(connection, spec, {"": rows}, {"": spec.size or len(rows)}, design="simple")


def _of_policy(connection: duckdb.DuckDBPyConnection, spec: QueueSpec, rules: Rules) -> Iterator[Item]:
    """What the policy decides as ``review``, by the answers as they were given."""
    if rules.policy is None:
        raise QueueError(f"queue {spec.name!r} is of a policy's; set MODERATION_POLICY to its file")
    for macro in sql.macros(temporary=True):
        connection.execute(macro)
    query = f"""SELECT answered.content, answered.max_confidence
FROM answered JOIN ({sql.decisions(rules.policy)}) AS decided USING (load_id, source_ref)
WHERE decided.decision = 'review' AND decided.asked_min_confidence = $threshold"""  # noqa: S608 - of `policy.sql`
    rows: dict[str, tuple[str, float | None]] = {}
    # Each answer at the threshold that it was asked with: at a higher one labels would be missing.
    for (asked,) in _rows(connection, "SELECT DISTINCT coalesce(min_confidence, 50) FROM answered", {}):
        found = _rows(connection, query, {"threshold": asked})
        rows |= {content: ("", percent) for content, percent in found}
    return _drawn(connection, spec, {"": rows}, {"": spec.size or len(rows)}, design="simple")


def _of_unflagged(connection: duckdb.DuckDBPyConnection, spec: QueueSpec, _: Rules) -> Iterator[Item]:
    """A random sample of what has no label at its threshold."""
    rows = {content: ("", percent) for content, percent in _rows(connection, _UNFLAGGED, {})}
    percent = (spec.filter or {}).get(_PERCENT, 100.0)
    size = spec.size or math.ceil(len(rows) * percent / 100)
    return _drawn(connection, spec, {"": rows}, {"": size}, design="simple")


def _of_strata(connection: duckdb.DuckDBPyConnection, spec: QueueSpec, _: Rules) -> Iterator[Item]:
    """A sample over bands of the highest confidence, the same for all labels."""
    strata: dict[str, dict[str, tuple[str, float | None]]] = {name: {} for name in sampling.STRATA}
    for content, percent in _rows(connection, "SELECT content, max_confidence FROM answered", {}):
        strata[sampling.stratum_of(percent)][content] = ("", percent)
    sizes = {name: len(rows) for name, rows in strata.items()}
    wanted = sampling.allocate(sizes, spec.size) if spec.size else sizes
    return _drawn(connection, spec, strata, wanted, design="stratified")


def _of_adapter(connection: duckdb.DuckDBPyConnection, spec: QueueSpec, _: Rules) -> Iterator[Item]:
    """A sample of what an adapter answered, more of what it was trained for."""
    wanted = spec.filter or {}
    if not wanted.get("adapter"):
        raise QueueError(f"queue {spec.name!r}: it is of an adapter's answers; name the adapter")
    strata: dict[str, dict[str, tuple[str, float | None]]] = {name: {} for name in sampling.ADAPTER_STRATA}
    asked = {"adapter": wanted["adapter"], "trained": list(wanted.get("labels") or ())}
    for content, stratum, percent in _rows(connection, _BY_ADAPTER, asked):
        strata[stratum][content] = ("", percent)
    sizes = {name: len(rows) for name, rows in strata.items()}
    wanted_sizes = sampling.allocate(sizes, spec.size, sampling.ADAPTER_STRATA) if spec.size else sizes
    return _drawn(connection, spec, strata, wanted_sizes, design="stratified")


def _of_filter(connection: duckdb.DuckDBPyConnection, spec: QueueSpec, _: Rules) -> Iterator[Item]:
    """What a saved filter finds: columns of `images`, each with its value or a list of values."""
    conditions, values = ["true"], []
    for name, value in (spec.filter or {}).items():
        if name not in IMAGES.schema.names:
            raise QueueError(f"queue {spec.name!r}: images have no column {name!r}")
        values.append(list(value) if isinstance(value, list | tuple) else [value])
        conditions.append(f"CAST({name} AS VARCHAR) IN (SELECT unnest(${len(values)}::VARCHAR[]))")
    kept = f"SELECT content, max_confidence FROM answered WHERE {' AND '.join(conditions)}"  # noqa: S608
    found = dict(connection.execute(kept, values).fetchall())
    if spec.label is not None or spec.low is not None or spec.high is not None:
        connection.execute("CREATE OR REPLACE TEMP TABLE kept (content VARCHAR)")
        connection.execute("INSERT INTO kept SELECT unnest($1::VARCHAR[])", [list(found)])
        return _of_labels(connection, spec, "SELECT listed.* FROM listed SEMI JOIN kept USING (content)")
    rows = {content: ("", percent) for content, percent in found.items()}
    return _drawn(connection, spec, {"": rows}, {"": spec.size or len(rows)}, design="simple")


def _nothing(_: duckdb.DuckDBPyConnection, spec: QueueSpec, __: Rules) -> Iterator[Item]:
    raise QueueError(f"queue {spec.name!r}: what people disagree about comes by itself")


_UNFLAGGED = """SELECT content, max_confidence FROM answered
WHERE content NOT IN (SELECT content FROM listed WHERE is_flagged)"""

_BY_ADAPTER = """SELECT answered.content,
    CASE WHEN coalesce(bool_or(listed.is_flagged AND listed.label IN (SELECT unnest($trained::VARCHAR[]))),
        false) THEN 'trained'
    WHEN coalesce(bool_or(listed.label IN (SELECT unnest($trained::VARCHAR[]))), false) THEN 'near'
    WHEN coalesce(bool_or(listed.is_flagged), false) THEN 'flagged' ELSE 'unflagged' END,
    any_value(answered.max_confidence)
FROM answered LEFT JOIN listed USING (content) WHERE answered.adapter = $adapter GROUP BY answered.content"""

_KINDS: Mapping[Kind, Callable[[duckdb.DuckDBPyConnection, QueueSpec, Rules], Iterator[Item]]] = {
    Kind.JOB: _of_job,
    Kind.BAND: _of_band,
    Kind.POLICY: _of_policy,
    Kind.RANDOM_UNFLAGGED: _of_unflagged,
    Kind.STRATIFIED: _of_strata,
    Kind.ADAPTER: _of_adapter,
    Kind.FILTER: _of_filter,
    Kind.GOLDEN: _of_filter,
    Kind.DISPUTE: _nothing,
}

_Rows = Mapping[str, tuple[str, float | None]]


def _drawn(
    connection: duckdb.DuckDBPyConnection,
    spec: QueueSpec,
    strata: Mapping[str, _Rows],
    wanted: Mapping[str, int],
    *,
    design: str,
) -> Iterator[Item]:
    """Items of what is drawn, in random order, so that whoever stops early has seen a random part."""
    told = {content: row for rows in strata.values() for content, row in rows.items()}
    drawn = sampling.draw_stratified(strata, wanted, spec.seed)
    for some in few(drawn, _BATCH):
        seen = _seen(connection, [one.name for one in some])
        for one in some:
            label, confidence = told[one.name]
            sample = Item(
                **seen[one.name],
                label=label,
                confidence=confidence,
                design=design,
                stratum=one.stratum or None,
                inclusion_probability=one.probability,
                seed=spec.seed,
                purpose=Purpose.RATE,
            )
            yield sample if spec.kind != Kind.GOLDEN else replace(sample, design=None, purpose=Purpose.GOLDEN)


def _benign(connection: duckdb.DuckDBPyConnection, spec: QueueSpec) -> Iterator[Item]:
    """Contents whose answer lists nothing, in random order, as many as can be needed, if any are."""
    if not spec.benign_share:
        return
    names = [name for (name,) in _rows(connection, "SELECT content FROM answered WHERE label_count = 0", {})]
    seed = sampling.seed_of(spec.seed, "benign")
    for some in few(sampling.draw(names, len(names), seed), _BATCH):
        seen = _seen(connection, some)
        yield from (Item(**seen[name], purpose=Purpose.BENIGN) for name in some)


def _seen(connection: duckdb.DuckDBPyConnection, contents: list[str]) -> dict[str, dict[str, Any]]:
    query = (
        f"SELECT content, {', '.join(_SEEN)} FROM answered WHERE content IN (SELECT unnest($1::VARCHAR[]))"  # noqa: S608
    )
    rows = connection.execute(query, [contents]).fetchall()
    return {row[0]: dict(zip(("content", *_SEEN), row, strict=True)) for row in rows}


def _rows(
    connection: duckdb.DuckDBPyConnection, query: str, values: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    return connection.execute(query, dict(values)).fetchall()
