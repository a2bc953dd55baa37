"""The strata of every draw, from the queues: how many were in each, and how many of these were drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import sqlalchemy as sa

from moderation.review.rows import ITEMS
from moderation.review.state import tables
from moderation.review.state.item_checksums import DRAW, DRAW_LENGTH, is_known, of_draw
from moderation.review.statistics.frames import DRAWS

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from moderation.review.state.open import State

_I = tables.items


def drawn(state: State) -> pa.Table:
    """Every stratum of every draw, decided or not, as `frames.DRAWS`.

    An item's inclusion probability is the part of its stratum that was drawn: so the one tells the other's
    size.

    :raises StateUnusableError: an item says something else of its draw than was written.
    """
    options = {queue.queue_id: queue.spec for queue in state.queues.all()}
    with state.database.read() as connection:
        rows = _strata(connection)
    whole: dict[tuple[str, str | None], int] = {}
    for row in rows:
        row["draw"] = f"{row['queue_id']}:{row['seed']}"
        place = row["draw"], row["stratum"]
        whole[place] = whole.get(place, 0) + row["items"]
    return pa.Table.from_pylist(
        [
            {
                "draw": row["draw"],
                "design": row["design"],
                "stratum": row["stratum"],
                "stratum_size": round(whole[row["draw"], row["stratum"]] / row["probability"]),
                "stratum_drawn": whole[row["draw"], row["stratum"]],
                "load_id": row["load_id"],
                **{
                    name: getattr(options[row["queue_id"]], name) for name in ("kind", "label", "low", "high")
                },
            }
            for row in rows
        ],
        schema=DRAWS,
    )


def _strata(connection: Connection) -> list[dict[str, Any]]:
    """A row each queue, seed, design, stratum and load, with its items and their probability."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in _counted(connection):
        if row["design"] is None or not (row["inclusion_probability"] or 0) > 0:
            continue
        told = {name: row[name] for name in ("queue_id", "design", "stratum", "load_id")}
        told["seed"] = row["seed"] or 0
        stratum = found.setdefault(tuple(told.values()), told | {"items": 0, "probability": 0.0})
        stratum["items"] += row["items"]
        stratum["probability"] = max(stratum["probability"], row["inclusion_probability"])
    return list(found.values())


def _counted(connection: Connection) -> list[dict[str, Any]]:
    """Items by what says how they were drawn, which a part of their checksums is of: so no item is read."""
    checksum = sa.func.substr(_I.c.checksum, 1, DRAW_LENGTH)
    told = [_I.c[name] for name in DRAW]
    query = sa.select(*told, checksum.label("checksum"), sa.func.count().label("items"))
    rows = [dict(row) for row in connection.execute(query.group_by(*told, checksum)).mappings()]
    for row in rows:
        if is_known(row["checksum"]) and of_draw(tuple(row[name] for name in DRAW)) != row["checksum"]:
            ITEMS.tell(connection)
    return rows
