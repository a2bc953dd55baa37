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
from moderation.review.verdict import Purpose
from moderation.schema import IMAGES, MODERATED

STANDING_POLICY = "policy-standing"
STANDING_UNFLAGGED = "random_unflagged-standing"
"""Ids of the queues that each publish adds to."""

_BATCH = 1_000
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

    No temporary ones: those are seen by one cursor alone.

    Of `images` ``answered`` has what an item or the queue's options ask for, and no more.
    """
    where = "AND load_id = $load_id" if spec.load_id else ""
    # What is newest is found among what tells it alone: whole rows of a million images would take 600 MB.
    connection.execute(
        f"""CREATE OR REPLACE TABLE newest AS
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
        f"""CREATE OR REPLACE TABLE answered AS
SELECT content, {", ".join(dict.fromkeys((*_SEEN, *_ASKED, *named)))}
FROM images JOIN newest USING (load_id, manifest_id, line_number)"""  # noqa: S608 - names of ours
    )
    connection.execute("DROP TABLE newest")
    connection.execute("CREATE OR REPLACE TABLE in_use (label VARCHAR, percent DOUBLE)")
    for label, percent in thresholds.labels.items():
        connection.execute("INSERT INTO in_use VALUES ($1, $2)", [label, percent])
    connection.execute(
        """CREATE OR REPLACE TABLE listed AS
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
    wanted: dict[str, Any] = {"low": spec.low or 0.0, "high": 101.0 if spec.high is None else spec.high}
    if spec.label is None:
        query = f"SELECT content, '', max(confidence) FROM ({listed}) GROUP BY content "  # noqa: S608
        query += "HAVING max(confidence) >= $low AND max(confidence) < $high"
    else:
        query = f"SELECT content, label, confidence FROM ({listed}) WHERE label = $label "  # noqa: S608
        query += "AND confidence >= $low AND confidence < $high"
        wanted["label"] = spec.label
    return _drawn(connection, spec, query, wanted)


def _of_policy(connection: duckdb.DuckDBPyConnection, spec: QueueSpec, rules: Rules) -> Iterator[Item]:
    """What the policy decides as ``review``, by the answers as they were given."""
    if rules.policy is None:
        raise QueueError(f"queue {spec.name!r} is of a policy's; set MODERATION_POLICY to its file")
    for macro in sql.macros(temporary=True):
        connection.execute(macro)
    query = f"""SELECT answered.content, answered.max_confidence
FROM answered JOIN ({sql.decisions(rules.policy)}) AS decided USING (load_id, source_ref)
WHERE decided.decision = 'review' AND decided.asked_min_confidence = $threshold"""  # noqa: S608 - of `policy.sql`
    connection.execute("CREATE OR REPLACE TABLE decided (content VARCHAR, percent DOUBLE)")
    # Each answer at the threshold that it was asked with: at a higher one labels would be missing.
    for (asked,) in _rows(connection, "SELECT DISTINCT coalesce(min_confidence, 50) FROM answered"):
        connection.execute(f"INSERT INTO decided {query}", {"threshold": asked})
    return _drawn(connection, spec, "SELECT content, '', max(percent) FROM decided GROUP BY content")


def _of_unflagged(connection: duckdb.DuckDBPyConnection, spec: QueueSpec, _: Rules) -> Iterator[Item]:
    """A random sample of what has no label at its threshold."""
    return _drawn(connection, spec, _UNFLAGGED, percent=(spec.filter or {}).get(_PERCENT, 100.0))


def _of_strata(connection: duckdb.DuckDBPyConnection, spec: QueueSpec, _: Rules) -> Iterator[Item]:
    """A sample over bands of the highest confidence, the same for all labels."""
    query = f"SELECT content, '', max_confidence, {sampling.STRATUM} FROM answered"  # noqa: S608 - names of ours
    return _drawn(connection, spec, query, strata=sampling.EXPECTED)


def _of_adapter(connection: duckdb.DuckDBPyConnection, spec: QueueSpec, _: Rules) -> Iterator[Item]:
    """A sample of what an adapter answered, more of what it was trained for."""
    wanted = spec.filter or {}
    if not wanted.get("adapter"):
        raise QueueError(f"queue {spec.name!r}: it is of an adapter's answers; name the adapter")
    asked = {"adapter": wanted["adapter"], "trained": list(wanted.get("labels") or ())}
    return _drawn(connection, spec, _BY_ADAPTER, asked, strata=sampling.ADAPTER_STRATA)


def _of_filter(connection: duckdb.DuckDBPyConnection, spec: QueueSpec, _: Rules) -> Iterator[Item]:
    """What a saved filter finds: columns of `images`, each with its value or a list of values."""
    conditions, values = ["true"], []
    for name, value in (spec.filter or {}).items():
        if name not in IMAGES.schema.names:
            raise QueueError(f"queue {spec.name!r}: images have no column {name!r}")
        values.append(list(value) if isinstance(value, list | tuple) else [value])
        conditions.append(f"CAST({name} AS VARCHAR) IN (SELECT unnest(${len(values)}::VARCHAR[]))")
    kept = f"SELECT content, '', max_confidence FROM answered WHERE {' AND '.join(conditions)}"  # noqa: S608
    if spec.label is None and spec.low is None and spec.high is None:
        return _drawn(connection, spec, kept, values)
    connection.execute(f"CREATE OR REPLACE TABLE kept AS {kept}", values)
    return _of_labels(connection, spec, "SELECT listed.* FROM listed SEMI JOIN kept USING (content)")


def _nothing(_: duckdb.DuckDBPyConnection, spec: QueueSpec, __: Rules) -> Iterator[Item]:
    raise QueueError(f"queue {spec.name!r}: what people disagree about comes by itself")


_UNFLAGGED = """SELECT content, '', max_confidence FROM answered
WHERE content NOT IN (SELECT content FROM listed WHERE is_flagged)"""

_BY_ADAPTER = """SELECT answered.content, '', any_value(answered.max_confidence), CASE
    WHEN coalesce(bool_or(listed.is_flagged AND listed.label IN (SELECT unnest($trained::VARCHAR[]))),
        false) THEN 'trained'
    WHEN coalesce(bool_or(listed.label IN (SELECT unnest($trained::VARCHAR[]))), false) THEN 'near'
    WHEN coalesce(bool_or(listed.is_flagged), false) THEN 'flagged' ELSE 'unflagged' END
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


def _drawn(
    connection: duckdb.DuckDBPyConnection,
    spec: QueueSpec,
    query: str,
    values: Any = None,
    *,
    strata: Mapping[str, float] | None = None,
    percent: float = 100.0,
) -> Iterator[Item]:
    """Items of what is drawn, in random order, so that whoever stops early has seen a random part.

    :param query: of content, each once, label and confidence; with strata, the stratum as well.
    :param strata: what is expected of each, as of `sampling.allocate`.
    :param percent: of those found that are drawn, where the options say no number.
    """
    columns, none = "content, label, confidence", ", '' AS stratum"
    if strata:
        columns, none = f"{columns}, stratum", ""
    connection.execute(
        f"CREATE OR REPLACE TABLE candidates AS SELECT *{none} FROM ({query}) AS found ({columns})",  # noqa: S608
        values,
    )
    counted = _rows(connection, "SELECT stratum, count(*) FROM candidates GROUP BY stratum")
    sizes: dict[str, int] = dict.fromkeys(strata or ("",), 0) | dict(counted)
    if strata:
        wanted = sampling.allocate(sizes, spec.size, strata) if spec.size else sizes
    else:
        wanted = {"": spec.size or math.ceil(sizes[""] * percent / 100)}
    connection.execute(
        _DRAW, {"seed": str(spec.seed), "strata": list(wanted), "wanted": list(wanted.values())}
    )
    design = "stratified" if strata else "simple"
    how: dict[str, Any] = {"design": design, "seed": spec.seed, "purpose": Purpose.RATE}
    if spec.kind == Kind.GOLDEN:
        how |= {"design": None, "purpose": Purpose.GOLDEN}
    for row in _one_by_one(connection, _ITEMS, {}):
        yield Item(**row, **how)


_DRAW = f"""CREATE OR REPLACE TABLE drawn AS
SELECT content, label, confidence, stratum, lot,
    least(wanted, size) / size AS inclusion_probability
FROM (
    SELECT *, count(*) OVER (PARTITION BY stratum) AS size,
        row_number() OVER (PARTITION BY stratum ORDER BY lot, content) AS place
    FROM (SELECT *, {sampling.LOT} AS lot FROM candidates)
) JOIN (SELECT unnest($strata::VARCHAR[]) AS stratum, unnest($wanted::BIGINT[]) AS wanted) USING (stratum)
WHERE place <= wanted"""  # noqa: S608 - an expression of ours

_ITEMS = f"""SELECT content, {", ".join(_SEEN)}, label, confidence, nullif(stratum, '') AS stratum,
    inclusion_probability
FROM drawn JOIN answered USING (content) ORDER BY lot, content"""  # noqa: S608 - names of ours

_BENIGN = f"""SELECT content, {", ".join(_SEEN)} FROM answered WHERE label_count = 0
ORDER BY {sampling.LOT}, content"""  # noqa: S608 - names of ours


def _benign(connection: duckdb.DuckDBPyConnection, spec: QueueSpec) -> Iterator[Item]:
    """Contents whose answer lists nothing, in random order, as many as can be needed, if any are."""
    if spec.benign_share:
        seed = str(sampling.seed_of(spec.seed, "benign"))
        for row in _one_by_one(connection, _BENIGN, {"seed": seed}):
            yield Item(**row, purpose=Purpose.BENIGN)


def _one_by_one(
    connection: duckdb.DuckDBPyConnection, query: str, values: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """The rows, few of them in memory at a time, whatever is asked meanwhile."""
    with connection.cursor() as cursor:
        asked = cursor.execute(query, dict(values))
        names = [column[0] for column in asked.description or ()]
        while some := asked.fetchmany(_BATCH):
            for row in some:
                yield dict(zip(names, row, strict=True))


def _rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[tuple[Any, ...]]:
    return connection.execute(query).fetchall()
