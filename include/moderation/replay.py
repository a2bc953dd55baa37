"""History under another MinConfidence or policy, from the tables alone: no inference, nothing is written.

What was asked with 50 can be told for every threshold from 50 on, for an answer of MinConfidence 80 is the
answer of 50 without the labels below 80. Images that were asked with a higher one are told apart
(``is_answerable`` is false): nobody knows what lies between.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import duckdb

from moderation import query, schema
from moderation.policy import DECISIONS, Policy, PolicyError, read_policy
from moderation.reading import DEFAULT_WAIT_SECONDS, WarehouseError, open_warehouse
from moderation.settings import Settings

AWS_DEFAULT = 50
"""MinConfidence of a request that names none (Rekognition API reference)."""

_ASKED = f"coalesce(images.min_confidence, {AWS_DEFAULT})"
_REPLACED = {
    "label_count": "CAST(coalesce(kept.label_count, 0) AS INTEGER)",
    "top_l1": "CASE WHEN images.max_confidence >= threshold THEN images.top_l1 END",
    "max_confidence": "CASE WHEN images.max_confidence >= threshold THEN images.max_confidence END",
    "min_confidence": "CAST(threshold AS DOUBLE)",
    "unknown_labels": "CAST(coalesce(kept.unknown_labels, 0) AS INTEGER)",
}
_KEY = "load_id, source_ref, manifest_id, line_number"


class ReplayError(Exception):
    """History cannot be told as asked; the message says why."""


def macros(*, temporary: bool = False) -> list[str]:
    """SQL of the table macros ``labels_at(threshold)`` and ``images_at(threshold)``.

    Their columns are those of ``labels`` and ``images``, as if ``threshold`` had been asked for;
    ``images_at`` has ``is_answerable`` and ``asked_min_confidence`` besides.

    :param temporary: of this connection alone, for a warehouse that is open read-only.
    """
    kind = "CREATE OR REPLACE TEMP MACRO" if temporary else "CREATE OR REPLACE MACRO"
    columns = ", ".join(
        f"{_REPLACED.get(name, f'images.{name}')} AS {name}" for name in schema.IMAGES.schema.names
    )
    return [
        f"{kind} labels_at(threshold) AS TABLE SELECT * FROM labels "  # noqa: S608 - names of ours
        "WHERE confidence >= threshold",
        f"{kind} images_at(threshold) AS TABLE "  # noqa: S608 - names of ours
        f"SELECT {columns}, {_ASKED} <= threshold AS is_answerable, {_ASKED} AS asked_min_confidence "
        f"FROM images LEFT JOIN (SELECT {_KEY}, count(*) AS label_count, "
        "count(*) FILTER (WHERE unknown_label) AS unknown_labels FROM labels "
        f"WHERE confidence >= threshold GROUP BY {_KEY}) AS kept "
        f"ON {' AND '.join(f'images.{name} IS NOT DISTINCT FROM kept.{name}' for name in _KEY.split(', '))}",
    ]


def decisions_sql(policy: Policy) -> str:
    """The query for each image's decision by a policy, with ``threshold`` as its parameter ``$threshold``.

    One row a moderated image and load: ``decision``, and ``rule``, the number of the first rule of that
    decision, null for the default. Both are null where the history cannot tell.
    """
    severity = " ".join(f"WHEN {_text(name)} THEN {number}" for number, name in enumerate(DECISIONS))
    rules = " ".join(
        f"WHEN {condition} THEN {number}"
        for number, condition in enumerate(map(_condition, policy.rules), start=1)
    )
    decided = " ".join(
        f"WHEN {number} THEN {_text(rule.decision)}" for number, rule in enumerate(policy.rules, start=1)
    )
    default = _text(policy.default)
    joined = " AND ".join(f"images.{name} IS NOT DISTINCT FROM worst.{name}" for name in _KEY.split(", "))
    return f"""
WITH met AS (
    SELECT {_KEY}, CASE {rules} END AS rule FROM labels_at($threshold)
), rated AS (
    SELECT *, CASE rule {decided} ELSE {default} END AS decision FROM met
), worst AS (
    SELECT {_KEY}, arg_max(decision, CASE decision {severity} END) AS decision,
        arg_max(coalesce(rule, 0), CASE decision {severity} END * 1000000 - coalesce(rule, 0)) AS rule
    FROM rated GROUP BY {_KEY}
)
SELECT images.load_id, images.dt, images.source_ref, images.content_type, images.label_count, images.top_l1,
    images.max_confidence, images.min_confidence, images.is_answerable, images.asked_min_confidence,
    CASE WHEN is_answerable THEN coalesce(worst.decision, {default}) END AS decision,
    CASE WHEN is_answerable THEN nullif(worst.rule, 0) END AS rule
FROM images_at($threshold) AS images LEFT JOIN worst ON {joined}
WHERE images.status = {_text(schema.MODERATED)}
"""  # noqa: S608 - names of ours and quoted texts


def _condition(rule: Any) -> str:
    parts = []
    if rule.label is not None:
        name = _text(rule.label)
        # A label of model 6.1 is met by its name in 7.0.
        parts.append(f"{name} IN (coalesce(l3, l2, l1), coalesce(v7_l3, v7_l2, v7_l1))")
    if rule.level is not None:
        parts.append(f"level = {rule.level}")
    if rule.min_confidence is not None:
        parts.append(f"confidence >= {rule.min_confidence!r}")
    if rule.content_types is not None:
        parts.append(f"content_type IN ({', '.join(map(_text, rule.content_types))})")
    return " AND ".join(parts) or "true"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def replay(
    connection: duckdb.DuckDBPyConnection, *, min_confidence: float, policy: Policy | None = None
) -> duckdb.DuckDBPyRelation:
    """History as it would be: ``images_at``, or with a policy `decisions_sql`.

    :param connection: of a warehouse, may be read-only.
    :param min_confidence: percent.
    :raises ReplayError: the threshold is none.
    """
    if not 0 <= min_confidence <= 100:
        raise ReplayError(f"--min-confidence {min_confidence:g}: expected 0 to 100")
    for statement in macros(temporary=True):
        connection.execute(statement)
    sql = "FROM images_at($threshold)" if policy is None else decisions_sql(policy)
    return connection.sql(sql, params={"threshold": min_confidence})


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add ``replay`` to a program's commands."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "replay", help="tell history under another MinConfidence or a policy, without inference"
    )
    parser.add_argument("--min-confidence", type=float, required=True, metavar="PERCENT")
    parser.add_argument("--policy", type=Path, metavar="FILE", help="rules in TOML; see docs/operations.md")
    parser.add_argument("--load", metavar="LOAD_ID", help="look at one load only")
    parser.add_argument("--output", "-o", type=Path, metavar="FILE", help="every image to .csv or .parquet")
    parser.add_argument("--warehouse", type=Path, metavar="FILE", help="default: MODERATION_WAREHOUSE")
    parser.add_argument("--wait", type=float, default=DEFAULT_WAIT_SECONDS, metavar="SECONDS")
    parser.set_defaults(run=_run)
    return parser


def _run(settings: Settings, args: argparse.Namespace) -> int:
    try:
        policy = read_policy(args.policy) if args.policy else None
        warehouse = args.warehouse or settings.warehouse_path
        with open_warehouse(warehouse, wait_seconds=args.wait, load_id=args.load) as connection:
            found = replay(connection, min_confidence=args.min_confidence, policy=policy)
            _show(found, policy, args.min_confidence)
            if args.output is not None:
                query.export(found, args.output)
                sys.stdout.write(f"{args.output}\n")
    except (WarehouseError, PolicyError, ReplayError, query.QueryError) as error:
        sys.stderr.write(f"moderation replay: {error}\n")
        return 1
    except duckdb.Error as error:
        sys.stderr.write(f"moderation replay: {str(error).strip().partition(chr(10))[0]}\n")
        return 1
    return 0


def _show(found: duckdb.DuckDBPyRelation, policy: Policy | None, threshold: float) -> None:
    answered = found.filter("is_answerable")
    if policy is None:
        counts = answered.filter(f"status = {_text(schema.MODERATED)}").aggregate(
            "count(*) FILTER (WHERE label_count > 0), count(*)"
        )
        flagged, images = counts.fetchone() or (0, 0)
        sys.stdout.write(f"At MinConfidence {threshold:g}: {flagged:,} of {images:,} images have a label\n")
    else:
        counts = dict(answered.aggregate("decision, count(*)", "decision").fetchall())
        listed = ", ".join(f"{counts.get(name, 0):,} {name}" for name in DECISIONS)
        sys.stdout.write(f"Policy {policy.name} at MinConfidence {threshold:g}: {listed}\n")
    row = found.filter("NOT is_answerable").aggregate("count(*), max(asked_min_confidence)").fetchone()
    unknown, asked = row or (0, None)
    if unknown:
        sys.stdout.write(
            f"{unknown:,} images were asked with a higher MinConfidence (up to {asked:g}): what lies below "
            "was never answered, so they are not counted\n"
        )
