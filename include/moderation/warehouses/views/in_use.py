"""SQL of what counts as found by the thresholds in use: a view for each table that labels decide about.

Tables hold what was answered, and stay as they are. Beside each stands a view of its rows that count:
``labels_in_use``, ``labels_l1_in_use`` to ``_l3_``, with their tables' columns and ``has_ancestors`` (false
where a row's ancestors may be none, or below their threshold), and ``images_in_use``: ``flagged``, ``top_l1``
and ``max_confidence`` by the labels that count, then the columns of ``images`` but the counts of all that was
answered. ``thresholds_in_use`` says which they are. The thresholds are written into the views, so that SQL
needs no file and a query pays for no more than they ask: views are made anew with each load, when a load has
nothing to do, and whenever our own commands open a warehouse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from moderation.policy.thresholds import Thresholds, spellings
from moderation.schema import IMAGES, LABELS, MODERATED, TableSpec
from moderation.warehouses import sql

THRESHOLDS_VIEW = "thresholds_in_use"
_KEY = ("load_id", "manifest_id", "line_number")
_COUNTS = ("label_count", "unknown_labels")
_BY_THRESHOLD = ("top_l1", "max_confidence")
_LEFT = {*_COUNTS, *_BY_THRESHOLD}


def view_names() -> tuple[str, ...]:
    """The views in the order in which they are made."""
    labels = (f"{table.name}_in_use" for table in LABELS.values())
    return (THRESHOLDS_VIEW, *labels, "labels_in_use", "images_in_use")


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How a warehouse says what differs.

    :param text, number: its types.
    :param first_l1: the ``l1`` of the highest ``confidence`` of a group.
    :param create: what a view's name follows.
    :param place: a table's or view's name as it needs it.
    :param labels: the query that is its view ``labels``, where that view may have to be dropped.
    """

    text: str = "VARCHAR"
    number: str = "DOUBLE"
    first_l1: str = "arg_max(l1, confidence)"
    create: str = "CREATE OR REPLACE VIEW"
    place: Callable[[str], str] = sql.name
    labels: str | None = None


def kept(table: TableSpec) -> tuple[str, ...]:
    """The columns that the view of this table, `IMAGES` or one of `LABELS`, takes over from it."""
    return tuple(name for name in table.schema.names if table is not IMAGES or name not in _LEFT)


def views(
    thresholds: Thresholds,
    dialect: Dialect,
    *,
    columns: Mapping[str, tuple[str, ...]] | None = None,
    stand: Mapping[str, tuple[str, ...]] | None = None,
) -> dict[str, str]:
    """The statement that makes each view, by its name, in an order that can be run.

    :param columns: what tables have, where an earlier release has made them; those of the schema otherwise.
    :param stand: the columns of the views that stand, where these can only be replaced by views that begin
        with them.
    """
    had = {IMAGES.name: tuple(IMAGES.schema.names)} | dict(columns or {})
    met = condition(thresholds)
    where = f" WHERE {met}" if met else ""
    ancestors = "FALSE" if met else "NOT path_derived"
    made = {THRESHOLDS_VIEW: _listed(thresholds, dialect)}
    for table in LABELS.values():
        view, names = f"{table.name}_in_use", had.get(table.name, tuple(table.schema.names))
        query = (
            f"SELECT {', '.join(map(sql.name, names))}, {ancestors} AS has_ancestors "  # noqa: S608 - quoted names
            f"FROM {dialect.place(table.name)}{where}"
        )
        made[view] = sql.in_order(query, (*names, "has_ancestors"), (stand or {}).get(view, ()))
    source = dialect.labels or f"SELECT * FROM {dialect.place('labels')}"  # noqa: S608 - as above
    made["labels_in_use"] = f"SELECT * FROM ({source}) AS answered{where}"  # noqa: S608 - as above
    names = tuple(name for name in had[IMAGES.name] if name not in _LEFT)
    made["images_in_use"] = sql.in_order(
        _images(thresholds, dialect, names),
        ("flagged", *_BY_THRESHOLD, *names),
        (stand or {}).get("images_in_use", ()),
    )
    return {name: f"{dialect.create} {dialect.place(name)} AS {query}" for name, query in made.items()}


def condition(thresholds: Thresholds) -> str:
    """SQL of the rows of labels that count, by ``name`` and ``confidence``; empty where all do."""
    otherwise = thresholds.default or 0.0
    cases = " ".join(
        f"WHEN {sql.text(spelling)} THEN {least!r}"
        for name, least in thresholds.labels.items()
        for spelling in spellings(name)
    )
    if cases:
        return f"confidence >= CASE lower(name) {cases} ELSE {otherwise!r} END"
    return f"confidence >= {otherwise!r}" if otherwise else ""


def _listed(thresholds: Thresholds, dialect: Dialect) -> str:
    """A row a label that has its own threshold, and one with a null label for all others."""
    version = _typed(None if thresholds.version is None else sql.text(thresholds.version), dialect.text)
    rows = [(None, thresholds.default), *thresholds.labels.items()]
    return " UNION ALL ".join(
        f"SELECT {version} AS version, {_typed(label and sql.text(label), dialect.text)} AS label, "
        f"{_typed(None if least is None else repr(least), dialect.number)} AS from_percent"
        for label, least in rows
    )


def _typed(value: str | None, kind: str) -> str:
    return f"CAST({value or 'NULL'} AS {kind})"


def _images(thresholds: Thresholds, dialect: Dialect, names: tuple[str, ...]) -> str:
    images = dialect.place(IMAGES.name)
    kept = ", ".join(f"images.{sql.name(name)}" for name in names)
    answered = f"images.status = {sql.text(MODERATED)}"
    if not thresholds.labels:
        # One threshold for all: the most certain label decides, and that stands in the row.
        found = f"images.max_confidence >= {thresholds.default or 0.0!r}"
        decided = ", ".join(f"CASE WHEN {found} THEN images.{name} END AS {name}" for name in _BY_THRESHOLD)
        flagged = f"({answered} AND coalesce({found}, FALSE)) AS flagged"
        return f"SELECT {flagged}, {decided}, {kept} FROM {images} AS images"  # noqa: S608 - quoted names
    key = ", ".join(_KEY)
    met = condition(thresholds)
    rows = " UNION ALL ".join(
        f"SELECT {key}, l1, confidence FROM {dialect.place(table.name)} WHERE {met}"  # noqa: S608 - as above
        for table in LABELS.values()
    )
    same = " AND ".join(f"images.{name} = found.{name}" for name in _KEY)
    return (
        f"SELECT ({answered} AND found.load_id IS NOT NULL) AS flagged, found.top_l1, found.max_confidence, "  # noqa: S608 - as above
        f"{kept} FROM {images} AS images LEFT JOIN (SELECT {key}, {dialect.first_l1} AS top_l1, "
        f"max(confidence) AS max_confidence FROM ({rows}) AS met GROUP BY {key}) AS found ON {same}"
    )
