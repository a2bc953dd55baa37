"""Who holds which item of a queue, within a transaction: taken, kept, given back, decided, skipped."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from moderation.review.queue import UNSEEN, Item, ItemState, Left, Queue, QueueSpec
from moderation.review.rows import ITEMS
from moderation.review.state import tables
from moderation.review.state.database import few, insert_new
from moderation.review.verdict import Purpose, Said

_I, _Q, _V, _S = tables.items, tables.queues, tables.verdicts, tables.skips
# Made once: SQLAlchemy copies every column of a table for each alias.
_TWIN, _MARKED, _TAKEN_BACK = _I.alias("twin"), _V.alias("marked"), _V.alias("taken_back")
_FREE = {"state": ItemState.OPEN, "holder": None, "held_until": None}


def take(
    connection: Connection,
    queue: Queue,
    reviewer: str,
    n: int,
    *,
    now: datetime,
    sees_severe: bool,
    without: Collection[str] = (),
) -> list[Item]:
    """The next items: first those whose lease ended, then on from where the person is, then the rest.

    :param without: ids of items that are passed over.
    """
    if connection.dialect.name != "sqlite":  # two windows of one person take one after the other
        key = {"key": f"{queue.queue_id}\n{reviewer}"}
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), key)
    mine = sa.select(sa.func.max(_I.c.position)).where(
        _I.c.queue_id == queue.queue_id, _I.c.holder == reviewer
    )
    here = connection.execute(mine).scalar_one() or 0
    base = _fit_for(queue, reviewer, sees_severe=sees_severe)
    for some in few(without):
        base = base.where(_I.c.item_id.not_in(some))
    found: dict[tuple[str, str], Item] = {}
    for state, condition, order in (
        (ItemState.LEASED, _I.c.held_until <= now, _I.c.held_until),
        (ItemState.OPEN, _I.c.position > here, _I.c.position),
        (ItemState.OPEN, _I.c.position <= here, _I.c.position),
    ):
        if len(found) < n:
            query = base.where(_I.c.state == state, condition).order_by(order).limit(2 * n)
            for item in ITEMS.read(connection, query.with_for_update(skip_locked=True)):
                found.setdefault((item.content, item.label), item)  # of a second opinion one of the two
    items = list(found.values())[:n]
    until = now + timedelta(seconds=queue.spec.lease_seconds)
    lease: dict[str, Any] = {"state": ItemState.LEASED, "holder": reviewer, "held_until": until}
    for some in few(item.item_id for item in items):
        connection.execute(sa.update(_I).where(_I.c.item_id.in_(some)).values(**lease))
    return [replace(item, **lease) for item in items]


def renew(connection: Connection, item_ids: list[str], reviewer: str, now: datetime) -> list[str]:
    """Lengthen the leases of items that the person holds, ended ones that nobody took too."""
    kept: list[str] = []
    for item_id, seconds in _held(connection, item_ids, reviewer, ItemState.LEASED):
        until = now + timedelta(seconds=seconds)
        connection.execute(sa.update(_I).where(_I.c.item_id == item_id).values(held_until=until))
        kept.append(item_id)
    return kept


def release(connection: Connection, item_ids: list[str], reviewer: str) -> int:
    """Give items back that the person holds."""
    given = 0
    for some in few(sorted(item_ids)):
        held = (_I.c.item_id.in_(some), _I.c.holder == reviewer, _I.c.state == ItemState.LEASED)
        given += connection.execute(sa.update(_I).where(*held).values(**_FREE)).rowcount
    return given


def set_aside(connection: Connection, item_ids: list[str], reviewer: str) -> list[str]:
    """Nobody can look at the items: nor at others of the same image, in whatever queue, that nobody holds.

    :returns: the ids of those that the person held.
    """
    aside: list[str] = []
    for some in few(sorted(item_ids)):
        held = (_I.c.item_id.in_(some), _I.c.holder == reviewer, _I.c.state == ItemState.LEASED)
        query = sa.select(_I.c.item_id, _I.c.content, _I.c.source_ref).where(*held).order_by(_I.c.item_id)
        for item_id, content, source_ref in connection.execute(query.with_for_update()).all():
            unseen = {"state": ItemState.DONE, "held_until": UNSEEN}
            connection.execute(sa.update(_I).where(_I.c.item_id == item_id).values(**unseen))
            others = (*_of_image(content, source_ref), _I.c.state == ItemState.OPEN)
            connection.execute(sa.update(_I).where(*others).values(**unseen))
            aside.append(item_id)
    return aside


def look_again(connection: Connection, queue_id: str) -> int:
    """What could not be seen waits again; returns how many items."""
    return connection.execute(
        sa.update(_I).where(_I.c.queue_id == queue_id, is_unseen()).values(**_FREE)
    ).rowcount


def is_unseen() -> sa.ColumnElement[bool]:
    """Whether an item is over for want of an image."""
    return sa.and_(_I.c.state == ItemState.DONE, _I.c.held_until == UNSEEN)


def is_decided() -> sa.ColumnElement[bool]:
    """Whether somebody decided an item."""
    seen = sa.func.coalesce(_I.c.held_until, _I.c.added_at) != UNSEEN
    return sa.and_(_I.c.state == ItemState.DONE, seen)


def _of_image(content: str, source_ref: str) -> tuple[sa.ColumnElement[bool], ...]:
    return _I.c.content == content, _I.c.source_ref == source_ref


def finish(connection: Connection, item_ids: list[str], reviewer: str) -> None:
    """The items are decided; who was first stays named."""
    for some in few(sorted(item_ids)):
        open_ones = (_I.c.item_id.in_(some), sa.not_(is_decided()))
        done = {"state": ItemState.DONE, "holder": reviewer, "held_until": None}
        connection.execute(sa.update(_I).where(*open_ones).values(**done))


def skip(connection: Connection, item_ids: list[str], reviewer: str) -> None:
    """Others get the items; this person does not any more."""
    known: list[str] = []
    for some in few(sorted(item_ids)):
        known += connection.execute(sa.select(_I.c.item_id).where(_I.c.item_id.in_(some))).scalars()
    if known:
        rows = [{"item_id": item_id, "reviewer": reviewer} for item_id in sorted(known)]
        connection.execute(insert_new(connection, _S).on_conflict_do_nothing(), rows)
        release(connection, known, reviewer)


def skip_no_more(connection: Connection, queue_id: str, reviewer: str) -> int:
    """The person gets again what they skipped and nobody has decided; returns how many items."""
    still = sa.select(_I.c.item_id).where(_I.c.queue_id == queue_id, _I.c.state == ItemState.OPEN)
    mine = sa.delete(_S).where(_S.c.reviewer == reviewer, _S.c.item_id.in_(still))
    return connection.execute(mine).rowcount


def left(connection: Connection, queue: Queue, reviewer: str, *, sees_severe: bool) -> Left:
    """What of a queue's open items a person gets."""
    is_open = (_I.c.queue_id == queue.queue_id, _I.c.state == ItemState.OPEN)
    fit = _fit_for(queue, reviewer, sees_severe=sees_severe).where(*is_open).limit(1)
    if connection.execute(fit).first() is not None:
        return Left(some=True)
    mine = sa.func.count(_S.c.item_id)
    skipped = sa.and_(_S.c.item_id == _I.c.item_id, _S.c.reviewer == reviewer)
    query = sa.select(mine, sa.func.count() - mine).select_from(_I.outerjoin(_S, skipped)).where(*is_open)
    return Left(False, *connection.execute(query).one())


def count_skipped(connection: Connection) -> dict[str, int]:
    """How many open items somebody skipped, by queue."""
    # Few are skipped of very many that are open: by the plan each of the few is looked up.
    skipped = sa.select(_S.c.item_id).distinct().subquery()
    is_open = sa.func.coalesce(_I.c.state, "") == ItemState.OPEN
    query = sa.select(_I.c.queue_id, sa.func.count()).join(skipped, skipped.c.item_id == _I.c.item_id)
    query = query.where(is_open).group_by(_I.c.queue_id)
    return {row[0]: row[1] for row in connection.execute(query)}


def reopen(connection: Connection, item_ids: list[str], reviewer: str, now: datetime) -> None:
    """The person who decided or skipped the items holds them again, unless somebody else has them now."""
    for some in few(sorted(item_ids)):
        mine = (_S.c.item_id.in_(some), _S.c.reviewer == reviewer)
        skipped = set(connection.execute(sa.select(_S.c.item_id).where(*mine)).scalars())
        connection.execute(sa.delete(_S).where(*mine))
        for item_id, seconds in _held(connection, some, reviewer, ItemState.DONE):
            _see_others(connection, item_id)
            _lease(connection, item_id, reviewer, now + timedelta(seconds=seconds))
        query = sa.select(_I.c.item_id, _Q.c.spec).join(_Q, _Q.c.queue_id == _I.c.queue_id)
        free = query.where(_I.c.item_id.in_(skipped), _I.c.state == ItemState.OPEN)
        for item_id, spec in connection.execute(free).all():
            seconds = QueueSpec.from_json(spec).lease_seconds
            _lease(connection, item_id, reviewer, now + timedelta(seconds=seconds))


def _see_others(connection: Connection, item_id: str) -> None:
    """What was set aside with an item, if it was, waits again."""
    query = sa.select(_I.c.content, _I.c.source_ref).where(_I.c.item_id == item_id, is_unseen())
    if found := connection.execute(query).one_or_none():
        others = (*_of_image(*found), is_unseen())
        connection.execute(sa.update(_I).where(*others).values(**_FREE))


def _lease(connection: Connection, item_id: str, reviewer: str, until: datetime) -> None:
    lease = {"state": ItemState.LEASED, "holder": reviewer, "held_until": until}
    connection.execute(sa.update(_I).where(_I.c.item_id == item_id).values(**lease))


def _held(
    connection: Connection, item_ids: Iterable[str], reviewer: str, state: ItemState
) -> list[tuple[str, int]]:
    """Ids of items that are a person's, with the seconds of a lease in their queue."""
    found: list[tuple[str, int]] = []
    for some in few(sorted(item_ids)):
        query = (
            sa.select(_I.c.item_id, _Q.c.spec)
            .join(_Q, _Q.c.queue_id == _I.c.queue_id)
            .where(_I.c.item_id.in_(some), _I.c.holder == reviewer, _I.c.state == state)
            .order_by(_I.c.item_id)
            .with_for_update(of=_I)
        )
        rows = connection.execute(query).all()
        found += [(item_id, QueueSpec.from_json(spec).lease_seconds) for item_id, spec in rows]
    return found


def _fit_for(queue: Queue, reviewer: str, *, sees_severe: bool) -> sa.Select[Any]:
    """A query for items of the queue that the person may see, and are no second opinion of their own."""
    had = sa.exists().where(
        _TWIN.c.queue_id == _I.c.queue_id,
        _TWIN.c.content == _I.c.content,
        _TWIN.c.label == _I.c.label,
        _TWIN.c.item_id != _I.c.item_id,
        _TWIN.c.holder == reviewer,
        sa.or_(_I.c.purpose == Purpose.SECOND, _TWIN.c.purpose == Purpose.SECOND),
    )
    skipped = sa.exists().where(_S.c.item_id == _I.c.item_id, _S.c.reviewer == reviewer)
    query = sa.select(*ITEMS.row).where(_I.c.queue_id == queue.queue_id, ~had, ~skipped)
    return query if sees_severe else query.where(~is_severe(_I.c.content))


def is_severe(content: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Whether a content was called severe, and neither taken back nor contradicted by who decides."""
    lifted = sa.exists().where(
        _TAKEN_BACK.c.content == _MARKED.c.content,
        sa.or_(
            sa.and_(_TAKEN_BACK.c.verdict == Said.WITHDRAWN, _TAKEN_BACK.c.replaces == _MARKED.c.verdict_id),
            sa.and_(
                _TAKEN_BACK.c.verdict == Said.NOT_SEVERE, _TAKEN_BACK.c.decided_at >= _MARKED.c.decided_at
            ),
        ),
    )
    return sa.exists().where(_MARKED.c.content == content, _MARKED.c.verdict == Said.SEVERE, ~lifted)
