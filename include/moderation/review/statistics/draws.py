"""The strata of every draw, from the queues: how many were in each, and how many of these were drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import sqlalchemy as sa

from moderation.review.state import tables
from moderation.review.statistics.frames import DRAWS

if TYPE_CHECKING:
    from moderation.review.state.open import State

_I = tables.items


def drawn(state: State) -> pa.Table:
    """Every stratum of every draw, decided or not, as `frames.DRAWS`.

    An item's inclusion probability is the part of its stratum that was drawn: so the one tells the other's
    size.
    """
    strata = (
        sa.select(
            _I.c.queue_id,
            sa.func.coalesce(_I.c.seed, 0).label("seed"),
            _I.c.design,
            _I.c.stratum,
            _I.c.load_id,
            sa.func.count().label("items"),
            sa.func.max(_I.c.inclusion_probability).label("probability"),
        )
        .where(_I.c.design.is_not(None), _I.c.inclusion_probability > 0)
        .group_by(_I.c.queue_id, sa.func.coalesce(_I.c.seed, 0), _I.c.design, _I.c.stratum, _I.c.load_id)
    )
    options = {queue.queue_id: queue.spec for queue in state.queues.all()}
    with state.database.read() as connection:
        rows = [dict(row) for row in connection.execute(strata).mappings()]
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
