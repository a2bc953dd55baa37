"""Ready queries: one ``.sql`` file each, in DuckDB's dialect, over the tables of :mod:`moderation.schema`.

The first line of a file is a comment that says what it answers. The texts keep to SQL that Athena and
Redshift share: no FILTER, QUALIFY, DISTINCT ON or max_by, and every rounding is a cast to DECIMAL.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from moderation.errors import NeedsAPersonError


class UnknownQueryError(NeedsAPersonError, LookupError):
    """There is no ready query of that name; the message lists the names and the nearest one."""


class DialectError(NeedsAPersonError, ValueError):
    """A query cannot be put into another dialect; the message says why."""


@dataclass(frozen=True)
class Query:
    """One ready query.

    :param name: the file's name without its ending.
    :param answers: what it answers, one sentence.
    :param sql: the whole text, without a closing semicolon.
    """

    name: str
    answers: str
    sql: str


@lru_cache(maxsize=1)
def queries() -> tuple[Query, ...]:
    """All ready queries by name."""
    folder = resources.files(__package__).joinpath("ready")
    files = [file for file in folder.iterdir() if file.name.endswith(".sql")]
    return tuple(
        _parse(file.name.removesuffix(".sql"), file.read_text(encoding="utf-8"))
        for file in sorted(files, key=lambda file: file.name)
    )


def query(name: str) -> Query:
    """The ready query of that name; hyphens and case do not matter.

    :raises UnknownQueryError: there is none.
    """
    wanted = name.strip().lower().replace("-", "_")
    by_name = {ready.name: ready for ready in queries()}
    if wanted in by_name:
        return by_name[wanted]
    near = difflib.get_close_matches(wanted, by_name, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise UnknownQueryError(f"no ready query {name!r}{hint}; there are: {', '.join(by_name)}")


def sql_for(name: str, dialect: str) -> str:
    """A ready query's text in another SQL dialect.

    :param dialect: ``duckdb``, or what sqlglot knows: ``athena``, ``redshift``, ``postgres``, ``snowflake``…
    :raises UnknownQueryError: there is no such query.
    :raises DialectError: no such dialect, something it cannot say, or sqlglot is not installed.
    """
    ready = query(name)
    return ready.sql if dialect == "duckdb" else to_dialect(ready.sql, dialect)


def to_dialect(sql: str, dialect: str) -> str:
    """DuckDB's SQL in another dialect; see :func:`sql_for`."""
    try:
        # Optional: only a user of another warehouse needs it.
        import sqlglot  # noqa: PLC0415
    except ImportError as error:
        raise DialectError("other dialects need sqlglot: pip install sqlglot") from error
    try:
        texts = sqlglot.transpile(
            sql, read="duckdb", write=dialect, pretty=True, unsupported_level=sqlglot.ErrorLevel.RAISE
        )
    except (sqlglot.errors.SqlglotError, ValueError) as error:
        raise DialectError(f"cannot be said in {dialect!r}: {error}") from error
    if len(texts) != 1:
        raise DialectError(f"a query is one statement, and this is {len(texts)}")
    return texts[0]


def _parse(name: str, text: str) -> Query:
    first, _, _ = text.partition("\n")
    answers = first.removeprefix("--").strip()
    if not first.startswith("--") or not answers:
        raise ValueError(f"{name}.sql: the first line must be a comment that says what the query answers")
    return Query(name=name, answers=answers, sql=text.strip().removesuffix(";").rstrip())
