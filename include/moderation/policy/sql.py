"""SQL of history under another MinConfidence or policy; nothing here opens a connection."""

from __future__ import annotations

from moderation import schema
from moderation.policy.rules import DECISIONS, Policy, Rule

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


def decisions(policy: Policy) -> str:
    """The query for each image's decision by a policy, with ``threshold`` as its parameter ``$threshold``.

    One row a moderated image and load: ``decision``, and ``rule``, the number of the first rule of that
    decision, null for the default. Both are null where the history cannot tell.
    """
    severity = " ".join(f"WHEN {literal(name)} THEN {number}" for number, name in enumerate(DECISIONS))
    rules = " ".join(
        f"WHEN {condition} THEN {number}"
        for number, condition in enumerate(map(_condition, policy.rules), start=1)
    )
    decided = " ".join(
        f"WHEN {number} THEN {literal(rule.decision)}" for number, rule in enumerate(policy.rules, start=1)
    )
    default = literal(policy.default)
    joined = " AND ".join(f"images.{name} IS NOT DISTINCT FROM worst.{name}" for name in _KEY.split(", "))
    return f"""
WITH met AS (
    SELECT {_KEY}, CASE {rules} END AS rule FROM labels_at($threshold)
), rated AS (
    SELECT *, CASE rule {decided} ELSE {default} END AS decision FROM met
), worst AS (
    SELECT {_KEY}, arg_max(decision, CASE decision {severity} END) AS decision,
        arg_max(coalesce(rule, 0), CASE decision {severity} END * 1000000 - coalesce(rule, 999999)) AS rule
    FROM rated GROUP BY {_KEY}
)
SELECT images.load_id, images.dt, images.source_ref, images.content_type, images.label_count, images.top_l1,
    images.max_confidence, images.min_confidence, images.is_answerable, images.asked_min_confidence,
    CASE WHEN is_answerable THEN coalesce(worst.decision, {default}) END AS decision,
    CASE WHEN is_answerable THEN nullif(worst.rule, 0) END AS rule, images.moderated_at
FROM images_at($threshold) AS images LEFT JOIN worst ON {joined}
WHERE images.status = {literal(schema.MODERATED)}
"""  # noqa: S608 - names of ours and quoted texts


def _condition(rule: Rule) -> str:
    parts = []
    if rule.label is not None:
        name = literal(rule.label)
        # A label of model 6.1 is met by its name in 7.0.
        parts.append(f"{name} IN (coalesce(l3, l2, l1), coalesce(v7_l3, v7_l2, v7_l1))")
    if rule.level is not None:
        parts.append(f"level = {rule.level}")
    if rule.min_confidence is not None:
        parts.append(f"confidence >= {rule.min_confidence!r}")
    if rule.content_types is not None:
        parts.append(f"content_type IN ({', '.join(map(literal, rule.content_types))})")
    return " AND ".join(parts) or "true"


def literal(value: str) -> str:
    """A text in SQL."""
    return "'" + value.replace("'", "''") + "'"
