"""What people disagree about is put before who decides, in the transaction in which they came to disagree."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from moderation.review import work
from moderation.review.effective import Truth, effective
from moderation.review.queue import DISPUTES, ITEM_COLUMNS, ItemState, Kind, QueueSpec
from moderation.review.state import tables
from moderation.review.state.database import few, insert_new
from moderation.review.state.item_checksums import of_queue, summed
from moderation.review.verdict import Purpose, Verdict

_LOCKS = 64
_FIRST_LOCK = 7_240_331_906

_I, _Q, _V = tables.items, tables.queues, tables.verdicts
Reading = Callable[[Iterable[str]], list[Verdict]]


def settle(connection: Connection, contents: Collection[str], read: Reading) -> None:
    """Bring the dispute queue to what people say of these contents now.

    :param read: every row of some contents, within the transaction.
    """
    _one_after_another(connection, contents)
    shared = _of_several_people(connection, contents)
    waiting = _waiting(connection, contents)
    if not shared and not waiting:
        return
    rows = read(shared)
    disputed = {key for key, told in effective(rows).items() if told.truth == Truth.DISPUTED}
    over = [item_id for key, item_ids in waiting.items() if key not in disputed for item_id in item_ids]
    for some in few(over):
        settled = {"state": ItemState.DONE, "held_until": None}
        connection.execute(sa.update(_I).where(_I.c.item_id.in_(some)).values(**settled))
    new = sorted(disputed - set(waiting))
    if new:
        _add(connection, new, _seen(connection, rows))


def _one_after_another(connection: Connection, contents: Iterable[str]) -> None:
    """Of two who speak of one content at once, the second sees what the first said; SQLite has one writer."""
    if connection.dialect.name == "sqlite":
        return
    locks = {int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) % _LOCKS for name in contents}
    wanted = sorted(_FIRST_LOCK + lock for lock in locks)
    # Taken in the array's order, the same for all, so that nobody waits in a circle.
    query = "SELECT pg_advisory_xact_lock(lock) FROM unnest(CAST(:wanted AS bigint[])) AS lock"
    connection.execute(sa.text(query), {"wanted": wanted})


def _of_several_people(connection: Connection, contents: Iterable[str]) -> list[str]:
    found: list[str] = []
    for some in few(sorted(contents)):
        query = sa.select(_V.c.content).where(_V.c.content.in_(some)).group_by(_V.c.content)
        query = query.having(sa.func.min(_V.c.reviewer) != sa.func.max(_V.c.reviewer))
        found += connection.execute(query).scalars()
    return found


def once(connection: Connection, item_ids: Collection[str]) -> None:
    """Whose decision is taken back is disputed again: the item that was put for it goes, theirs stays."""
    theirs, twin = _I.alias("theirs"), _I.alias("twin")
    for some in few(sorted(item_ids)):
        held = (theirs.c.item_id.in_(some), theirs.c.state == ItemState.LEASED)
        same = (twin.c.content == theirs.c.content, twin.c.label == theirs.c.label)
        new = sa.select(twin.c.item_id).join(theirs, sa.and_(*same)).where(*held)
        new = new.where(theirs.c.queue_id == DISPUTES, twin.c.queue_id == DISPUTES)
        new = new.where(twin.c.state == ItemState.OPEN)
        connection.execute(sa.delete(_I).where(_I.c.item_id.in_(new)))


def _waiting(connection: Connection, contents: Iterable[str]) -> dict[tuple[str, str], list[str]]:
    found: dict[tuple[str, str], list[str]] = {}
    for some in few(sorted(contents)):
        query = sa.select(_I.c.content, _I.c.label, _I.c.item_id).where(
            _I.c.queue_id == DISPUTES,
            _I.c.content.in_(some),
            sa.not_(work.is_decided()),
        )
        for content, label, item_id in connection.execute(query):
            found.setdefault((content, label), []).append(item_id)
    return found


def _seen(connection: Connection, rows: list[Verdict]) -> dict[str | None, dict[str, Any]]:
    """The image of each content and the answer about it, as who decides is shown them.

    Who decided blind saw no answer, but their item was drawn from one.
    """
    blind = {said.item_id for said in rows if said.load_id is None and said.item_id}
    drawn: dict[str, Any] = {}
    for some in few(sorted(blind)):
        query = sa.select(_I.c.item_id, *(_I.c[name] for name in _SEEN)).where(_I.c.item_id.in_(some))
        drawn |= {row["item_id"]: row for row in connection.execute(query).mappings()}
    found: dict[str | None, dict[str, Any]] = {}
    for said in rows:
        row = {name: getattr(said, name) for name in _SEEN}
        if said.load_id is None and said.item_id in drawn:
            row = {name: drawn[said.item_id][name] for name in _SEEN}
        if row["load_id"] is not None or said.content not in found:
            found[said.content] = row
    return found


def _add(connection: Connection, keys: list[tuple[str, str]], seen: dict[str | None, dict[str, Any]]) -> None:
    now = datetime.now(UTC)
    queue = {
        **{"queue_id": DISPUTES, "kind": Kind.DISPUTE, "name": "Disputes", "paused": False},
        **{"spec": QueueSpec(kind=Kind.DISPUTE, name="Disputes").to_json()},
        **{"created_at": now, "last_position": 0},
    }
    queue["checksum"] = of_queue(queue)
    connection.execute(insert_new(connection, _Q).values(**queue).on_conflict_do_nothing())
    last = connection.execute(
        sa.update(_Q)
        .where(_Q.c.queue_id == DISPUTES)
        .values(last_position=_Q.c.last_position + len(keys))
        .returning(_Q.c.last_position)
    ).scalar_one()
    connection.execute(
        sa.insert(_I),
        [
            summed(
                {
                    **dict.fromkeys(ITEM_COLUMNS),
                    **{"item_id": uuid.uuid4().hex, "queue_id": DISPUTES, "copies": 1},
                    **{"position": last - len(keys) + number, "content": content, "label": label},
                    **seen[content],
                    **{"purpose": Purpose.DISPUTE, "state": ItemState.OPEN, "added_at": now},
                }
            )
            for number, (content, label) in enumerate(keys, start=1)
        ],
    )


_SEEN = ("source_ref", "etag", "size_bytes", "load_id", "manifest_id", "line_number")
