"""The views over verdicts, the same in every warehouse: the one rule of `review.effective`, in SQL.

``verdicts_current``: what is said of each content and label, one row each. ``labels_verified``: each label
with what people say of it. ``images_decided``: what each image ends as, by policy or by a person.

Only what all dialects have is used: no FILTER, no QUALIFY, no NULL-safe comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from moderation.schema import IMAGES, MODERATED
from moderation.tables.standing import VERDICTS
from moderation.warehouses.sql import name, text

CURRENT, VERIFIED, DECIDED = "verdicts_current", "labels_verified", "images_decided"
COLUMNS = {
    CURRENT: (
        *("content", "subject", "label", "level", "l1", "l2", "l3"),
        *("truth", "opinions", "is_implied", "is_decided", "decided_at"),
    ),
    VERIFIED: (
        *("load_id", "dt", "content_type", "source_ref", "manifest_id", "line_number", "level"),
        *("l1", "l2", "l3", "label", "confidence", "model_version", "content", "is_listed"),
        *("truth", "opinions", "decided_at"),
    ),
    DECIDED: (
        *("load_id", "dt", "source_ref", "manifest_id", "line_number", "content", "label_count"),
        *("labels_present", "labels_absent", "labels_missed", "decided_by", "ends_as"),
    ),
}
"""The views in the order in which they are made, with their columns."""

VIEWS = tuple(COLUMNS)

_Place = Callable[[str], str]


@dataclass(frozen=True)
class Dialect:
    """What differs.

    :param is_digest: condition that ``etag`` is the MD5 of a content.
    :param hashed: the digest of ``source_ref``, ``etag`` and ``size_bytes``, hex in lower case.
    :param text_type: what a number is cast to before it is joined to a text.
    """

    is_digest: str
    hashed: str
    text_type: str = "VARCHAR"

    def content(self) -> str:
        """The content of a row of ``images``: `reference.content.subject_id`."""
        etag, size = name("etag"), name("size_bytes")
        return (
            f"CASE WHEN {self.is_digest} AND {size} IS NOT NULL "
            f"THEN {etag} || '-' || CAST({size} AS {self.text_type}) "
            f"ELSE 'k-' || SUBSTRING({self.hashed}, 1, 40) END"
        )


def _parts(size_type: str) -> tuple[str, str, str]:
    """The three texts that are hashed where nothing proves the content."""
    size = f"COALESCE(CAST(NULLIF({name('size_bytes')}, 0) AS {size_type}), '')"
    return name("source_ref"), f"COALESCE({name('etag')}, '')", size


def _postgres() -> Dialect:
    joined = " || '\\x00'::bytea || ".join(f"CONVERT_TO({part}, 'UTF8')" for part in _parts("TEXT"))
    return Dialect(f"{name('etag')} ~ '^[0-9a-f]{{32}}$'", f"ENCODE(SHA256({joined}), 'hex')", "TEXT")


def _duckdb() -> Dialect:
    joined = " || chr(0) || ".join(_parts("VARCHAR"))
    return Dialect(f"regexp_full_match({name('etag')}, '[0-9a-f]{{32}}')", f"sha256({joined})")


def _redshift() -> Dialect:
    joined = " || FROM_HEX('00') || ".join(f"TO_VARBYTE({part}, 'utf-8')" for part in _parts("VARCHAR"))
    return Dialect(f"{name('etag')} ~ '^[0-9a-f]{{32}}$'", f"SHA2({joined}, 256)")


def _trino() -> Dialect:
    joined = " || FROM_HEX('00') || ".join(f"TO_UTF8({part})" for part in _parts("VARCHAR"))
    return Dialect(f"REGEXP_LIKE({name('etag')}, '^[0-9a-f]{{32}}$')", f"LOWER(TO_HEX(SHA256({joined})))")


DUCKDB, POSTGRES, REDSHIFT, TRINO = _duckdb(), _postgres(), _redshift(), _trino()


def selects(dialect: Dialect, place: _Place) -> Mapping[str, str]:
    """The query of each view, in the order in which they are made.

    :param place: a table or view as this dialect names it.
    """
    views = {
        CURRENT: _current(place),
        VERIFIED: _verified(dialect, place),
        DECIDED: _decided(dialect, place),
    }
    return {view: " ".join(select.split()) for view, select in views.items()}


_MATTER = """CASE WHEN "v"."verdict" IN ('severe', 'not_severe') THEN 'severe' ELSE 'whole' END"""
"""What a verdict on an image is about: whether it is severe says nothing of its labels."""


def _said(place: _Place) -> str:
    """CTE ``said``: the newest of each person about each thing, what was taken back apart; notes are none."""
    return f"""
"undone" AS (
    SELECT DISTINCT "replaces" AS "verdict_id" FROM {place(VERDICTS.name)}
    WHERE "verdict" = 'withdrawn' AND "replaces" IS NOT NULL
), "newest" AS (
    SELECT "v".*, ROW_NUMBER() OVER (
        PARTITION BY "v"."content", "v"."reviewer", "v"."subject", COALESCE("v"."label", {_MATTER})
        ORDER BY "v"."decided_at" DESC, "v"."verdict_id" DESC
    ) AS "turn"
    FROM {place(VERDICTS.name)} AS "v" LEFT JOIN "undone" AS "u" ON "u"."verdict_id" = "v"."verdict_id"
    WHERE "u"."verdict_id" IS NULL AND "v"."verdict" NOT IN ('withdrawn', 'note')
        AND "v"."content" IS NOT NULL
), "said" AS (SELECT * FROM "newest" WHERE "turn" = 1)"""  # noqa: S608 - names of ours, quoted


_NAMED = """
SELECT "content", "subject", "label", "level", "l1", "l2", "l3" FROM "said" WHERE "label" IS NOT NULL
UNION ALL
SELECT "content", "subject", "l1", 1, "l1", NULL, NULL FROM "said"
WHERE "subject" = 'label' AND "verdict" = 'present' AND "level" > 1 AND "l1" IS NOT NULL
UNION ALL
SELECT "content", "subject", "l2", 2, "l1", "l2", NULL FROM "said"
WHERE "subject" = 'label' AND "verdict" = 'present' AND "level" > 2 AND "l2" IS NOT NULL"""
"""The labels and content types that people named, and the labels above what they found present."""


def _truth(pairs: str) -> str:
    """CTE ``truth``: what people together say of pairs of content and label; null where they say nothing.

    A vote weighs 3 as a decision of a dispute, 2 about the label itself, 1 by what it implies, 0 because the
    marks of an image are said to be complete; only votes of the highest weight count.

    :param pairs: a query for ``content``, ``subject``, ``label``, ``level``, ``l1``, ``l2`` and ``l3``.
    """
    return f"""
"pairs" AS (
    SELECT "content", "subject", "label", MAX("level") AS "level",
        MAX("l1") AS "l1", MAX("l2") AS "l2", MAX("l3") AS "l3"
    FROM ({pairs}) AS "each" GROUP BY "content", "subject", "label"
), "votes" AS (
    SELECT "content", "label", CASE WHEN "purpose" = 'dispute' THEN 3 ELSE 2 END AS "weight", "verdict",
        "decided_at", "verdict_id", "reviewer"
    FROM "said" WHERE "label" IS NOT NULL
    UNION ALL
    SELECT "p"."content", "p"."label", 1, "s"."verdict", "s"."decided_at", "s"."verdict_id", "s"."reviewer"
    FROM "pairs" AS "p" JOIN "said" AS "s" ON "s"."content" = "p"."content" AND "s"."subject" = 'label'
    WHERE "p"."subject" = 'label' AND "s"."label" <> "p"."label" AND (
        "s"."verdict" = 'present' AND "p"."label" IN ("s"."l1", "s"."l2", "s"."l3")
        OR "s"."verdict" = 'absent' AND "s"."label" IN ("p"."l1", "p"."l2", "p"."l3")
    )
    UNION ALL
    SELECT "p"."content", "p"."label", CASE "s"."verdict" WHEN 'nothing' THEN 1 ELSE 0 END, 'absent',
        "s"."decided_at", "s"."verdict_id", "s"."reviewer"
    FROM "pairs" AS "p" JOIN "said" AS "s" ON "s"."content" = "p"."content"
    WHERE "p"."subject" = 'label' AND "s"."subject" = 'image' AND "s"."verdict" IN ('nothing', 'complete')
), "weighed" AS (
    SELECT "votes".*, {_VOTING} AS "is_vote",
        MAX(CASE WHEN {_VOTING} THEN "weight" ELSE -1 END) OVER (PARTITION BY "content", "label") AS "top",
        ROW_NUMBER() OVER (
            PARTITION BY "content", "label", "weight"
            ORDER BY CASE WHEN {_VOTING} THEN 0 ELSE 1 END, "decided_at" DESC, "verdict_id" DESC
        ) AS "turn"
    FROM "votes"
), "counted" AS (
    SELECT "content", "label", MAX("top") AS "top",
        MAX(CASE WHEN "weight" = 3 AND "turn" = 1 THEN "verdict" END) AS "decision",
        SUM(CASE WHEN "weight" = "top" AND "verdict" = 'present' THEN 1 ELSE 0 END) AS "present",
        SUM(CASE WHEN "weight" = "top" AND "verdict" = 'absent' THEN 1 ELSE 0 END) AS "absent",
        SUM(CASE WHEN "verdict" = 'unsure' THEN 1 ELSE 0 END) AS "unsure",
        COUNT(DISTINCT CASE WHEN "is_vote" AND "weight" = "top" THEN "reviewer" END) AS "people",
        MAX(CASE WHEN "weight" = "top" OR "top" < 0 THEN "decided_at" END) AS "decided_at"
    FROM "weighed" GROUP BY "content", "label"
), "truth" AS (
    SELECT "p".*, CASE WHEN "c"."top" = 3 THEN "c"."decision"
            WHEN "c"."present" > 0 AND "c"."absent" > 0 THEN 'disputed' WHEN "c"."present" > 0 THEN 'present'
            WHEN "c"."absent" > 0 THEN 'absent' WHEN "c"."unsure" > 0 THEN 'unsure' END AS "truth",
        CASE WHEN "c"."top" = 3 THEN 1 ELSE "c"."people" END AS "opinions",
        "c"."top" IN (0, 1) AS "is_implied", "c"."top" = 3 AS "is_decided", "c"."decided_at"
    FROM "pairs" AS "p" LEFT JOIN "counted" AS "c"
        ON "c"."content" = "p"."content" AND "c"."label" = "p"."label"
)"""  # noqa: S608 - names of ours, quoted


_VOTING = """"verdict" IN ('present', 'absent')"""


def _current(place: _Place) -> str:
    return f"""
WITH {_said(place)}, {_truth(_NAMED)}, "images" AS (
    SELECT "v".*, ROW_NUMBER() OVER (
        PARTITION BY "content", {_MATTER} ORDER BY "decided_at" DESC, "verdict_id" DESC
    ) AS "place", COUNT(*) OVER (PARTITION BY "content", {_MATTER}) AS "people"
    FROM "said" AS "v" WHERE "subject" = 'image' AND "verdict" NOT IN ('unsure', 'skipped')
)
SELECT "content", "subject", "label", "level", "l1", "l2", "l3", "truth",
    CAST("opinions" AS BIGINT) AS "opinions", "is_implied", "is_decided", "decided_at"
FROM "truth" WHERE "truth" IS NOT NULL
UNION ALL
SELECT "content", "subject", NULL, NULL, NULL, NULL, NULL, "verdict", "people", FALSE, FALSE, "decided_at"
FROM "images" WHERE "place" = 1
"""  # noqa: S608 - names of ours, quoted


def _answered(dialect: Dialect, place: _Place) -> str:
    """CTEs: ``seen``, the moderated images with their content, and ``listed``, their labels."""
    path = ", ".join(
        f'CASE WHEN "l"."v7_l1" IS NULL THEN "l"."l{level}" ELSE "l"."v7_l{level}" END AS "l{level}"'
        for level in (1, 2, 3)
    )
    return f"""
"seen" AS (
    SELECT "load_id", "dt", "content_type", "source_ref", "manifest_id", "line_number", "model_version",
        "label_count", {dialect.content()} AS "content"
    FROM {place(IMAGES.name)} WHERE "status" = {text(MODERATED)}
), "listed" AS (
    SELECT "i"."load_id", "i"."dt", "i"."content_type", "i"."source_ref",
        "i"."manifest_id", "i"."line_number", "l"."level", {path},
        CASE WHEN "l"."v7_l1" IS NULL THEN "l"."name" ELSE COALESCE("l"."v7_l3", "l"."v7_l2", "l"."v7_l1") END
            AS "label",
        "l"."confidence", "i"."model_version", "i"."content"
    FROM {place("labels")} AS "l" JOIN "seen" AS "i" ON "i"."load_id" = "l"."load_id"
        AND "i"."manifest_id" = "l"."manifest_id" AND "i"."line_number" = "l"."line_number"
)"""  # noqa: S608 - names of ours, quoted


_LISTED = """
SELECT "content", 'label', "label", "level", "l1", "l2", "l3" FROM "listed"
WHERE "content" IN (SELECT "content" FROM "said")"""


def _verified(dialect: Dialect, place: _Place) -> str:
    return f"""
WITH {_said(place)}, {_answered(dialect, place)}, {_truth(f"{_NAMED} UNION ALL {_LISTED}")}
SELECT "l"."load_id", "l"."dt", "l"."content_type", "l"."source_ref", "l"."manifest_id", "l"."line_number",
    "l"."level", "l"."l1", "l"."l2", "l"."l3", "l"."label", "l"."confidence", "l"."model_version",
    "l"."content", TRUE AS "is_listed", "t"."truth", CAST("t"."opinions" AS BIGINT) AS "opinions",
    "t"."decided_at"
FROM "listed" AS "l" LEFT JOIN "truth" AS "t"
    ON "t"."content" = "l"."content" AND "t"."label" = "l"."label"
UNION ALL
SELECT "i"."load_id", "i"."dt", "i"."content_type", "i"."source_ref", "i"."manifest_id", "i"."line_number",
    "t"."level", "t"."l1", "t"."l2", "t"."l3", "t"."label", NULL, "i"."model_version", "i"."content",
    FALSE, "t"."truth", CAST("t"."opinions" AS BIGINT), "t"."decided_at"
FROM "truth" AS "t"
    JOIN "seen" AS "i" ON "i"."content" = "t"."content"
    LEFT JOIN "listed" AS "l" ON "l"."load_id" = "i"."load_id" AND "l"."manifest_id" = "i"."manifest_id"
        AND "l"."line_number" = "i"."line_number" AND "l"."label" = "t"."label"
WHERE "l"."label" IS NULL AND "t"."truth" IS NOT NULL AND "t"."subject" = 'label'
"""  # noqa: S608 - names of ours, quoted


def _decided(dialect: Dialect, place: _Place) -> str:
    return f"""
WITH {_answered(dialect, place)}, "whole" AS (
    SELECT "content", MAX(CASE WHEN "truth" = 'severe' THEN 1 ELSE 0 END) AS "is_severe",
        MAX(CASE WHEN "truth" IN ('nothing', 'complete') THEN 1 ELSE 0 END) AS "is_whole"
    FROM {place(CURRENT)} WHERE "subject" = 'image' GROUP BY "content"
), "judged" AS (
    SELECT "load_id", "manifest_id", "line_number",
        SUM(CASE WHEN "truth" = 'present' THEN 1 ELSE 0 END) AS "present",
        SUM(CASE WHEN "truth" = 'absent' AND "is_listed" THEN 1 ELSE 0 END) AS "absent",
        SUM(CASE WHEN "truth" = 'present' AND NOT "is_listed" THEN 1 ELSE 0 END) AS "missed",
        SUM(CASE WHEN "truth" IN ('present', 'absent') THEN 0 ELSE 1 END) AS "open"
    FROM {place(VERIFIED)} GROUP BY "load_id", "manifest_id", "line_number"
), "ended" AS (
    SELECT "i".*, CAST(COALESCE("j"."present", 0) AS BIGINT) AS "labels_present",
        CAST(COALESCE("j"."absent", 0) AS BIGINT) AS "labels_absent",
        CAST(COALESCE("j"."missed", 0) AS BIGINT) AS "labels_missed",
        CASE WHEN COALESCE("w"."is_severe", 0) = 1 THEN 'block'
            WHEN COALESCE("j"."present", 0) = 0 AND COALESCE("j"."open", 0) = 0
                AND (COALESCE("w"."is_whole", 0) = 1 OR COALESCE("j"."absent", 0) > 0) THEN 'allow'
            ELSE 'policy' END AS "ends_as"
    FROM "seen" AS "i" LEFT JOIN "whole" AS "w" ON "w"."content" = "i"."content"
        LEFT JOIN "judged" AS "j" ON "j"."load_id" = "i"."load_id" AND "j"."manifest_id" = "i"."manifest_id"
            AND "j"."line_number" = "i"."line_number"
)
SELECT "load_id", "dt", "source_ref", "manifest_id", "line_number", "content", "label_count",
    "labels_present", "labels_absent", "labels_missed",
    CASE WHEN "ends_as" = 'policy' THEN 'policy' ELSE 'person' END AS "decided_by", "ends_as"
FROM "ended"
"""  # noqa: S608 - names of ours, quoted
