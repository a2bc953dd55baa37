"""History under another MinConfidence or policy, from the tables alone: no inference, nothing is written.

What was asked with 50 can be told for every threshold from 50 on, for an answer of MinConfidence 80 is the
answer of 50 without the labels below 80. Images that were asked with a higher one are told apart
(``is_answerable`` is false): nobody knows what lies between.
"""

from __future__ import annotations

import duckdb

from moderation.errors import NeedsAPersonError
from moderation.policy import sql
from moderation.policy.rules import Policy


class ReplayError(NeedsAPersonError):
    """History cannot be told as asked; the message says why."""


def replay(
    connection: duckdb.DuckDBPyConnection, *, min_confidence: float, policy: Policy | None = None
) -> duckdb.DuckDBPyRelation:
    """History as it would be: ``images_at``, or with a policy `sql.decisions`.

    :param connection: of a warehouse, may be read-only.
    :param min_confidence: percent.
    :raises ReplayError: the threshold is none, or the tables are not there.
    """
    if not 0 <= min_confidence <= 100:
        raise ReplayError(f"--min-confidence {min_confidence:g}: expected 0 to 100")
    try:
        for statement in sql.macros(temporary=True):
            connection.execute(statement)
        return connection.sql(history_sql(policy), params={"threshold": min_confidence})
    except duckdb.CatalogException as error:
        text = str(error).partition("\n")[0]
        raise ReplayError(f"this is not the pipeline's warehouse: {text}; name another") from error


def history_sql(policy: Policy | None) -> str:
    """The query of `replay`; it has one parameter, ``threshold``."""
    return "SELECT * FROM images_at($threshold)" if policy is None else sql.decisions(policy)
