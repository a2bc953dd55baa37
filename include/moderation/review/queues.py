"""Queues of what is to be looked at, who holds what, and decisions that end an item."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from moderation.review import disputes, log, mixing, work
from moderation.review.log import Appended
from moderation.review.queue import (
    DISPUTES,
    Item,
    ItemState,
    Kind,
    Left,
    Progress,
    Queue,
    QueueError,
    QueueSpec,
    Waiting,
)
from moderation.review.rows import ITEMS, QUEUES
from moderation.review.state import tables
from moderation.review.state.database import Database, few, insert_new
from moderation.review.state.item_checksums import of_queue, summed
from moderation.review.verdict import Verdict

_AT_ONCE = 2_500
"""Items added in one transaction: others are kept waiting for a fraction of a second."""

_I, _Q, _V = tables.items, tables.queues, tables.verdicts


class Queues:
    """All queues of a state. Safe for threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, spec: QueueSpec, queue_id: str | None = None) -> Queue:
        """Make an empty queue.

        :param queue_id: of a standing queue, chosen by who asks; one that is there is returned as it is.
        :raises StateError: it is not stored.
        """
        queue_id = queue_id or (
            DISPUTES if spec.kind == Kind.DISPUTE else f"{spec.kind}-{uuid.uuid4().hex[:12]}"
        )
        row = {
            **{"queue_id": queue_id, "kind": spec.kind, "name": spec.name, "spec": spec.to_json()},
            **{"paused": False, "created_at": datetime.now(UTC), "last_position": 0},
        }
        row["checksum"] = of_queue(row)
        with self._database.write() as connection:
            connection.execute(insert_new(connection, _Q).values(**row).on_conflict_do_nothing())
            return _get(connection, queue_id)

    def all(self) -> list[Queue]:
        """All queues, the oldest first."""
        with self._database.read() as connection:
            return QUEUES.read(connection, sa.select(*QUEUES.row).order_by(_Q.c.created_at, _Q.c.queue_id))

    def get(self, queue_id: str) -> Queue:
        """One queue.

        :raises QueueError: there is none of that id.
        """
        with self._database.read() as connection:
            return _get(connection, queue_id)

    def add_items(self, queue_id: str, items: Iterable[Item], *, benign: Iterable[Item] = ()) -> int:
        """Add items at the end; one that is there is passed over, so that it may be repeated.

        Second opinions and golden items are mixed in as the queue's options say.

        :param benign: from which as many are mixed in as the options say.
        :returns: how many more items the queue has, with those that were mixed in.
        """
        queue = self.get(queue_id)
        golden = self._golden(queue_id) if queue.spec.golden else ()
        added = 0
        for some in few(mixing.mixed(queue, items, iter(benign), golden), _AT_ONCE):
            with self._database.write() as connection:
                added += _add(connection, queue_id, mixing.not_there(connection, queue, some))
                added -= mixing.give_way(connection, queue, some)
        return added

    def next(
        self,
        queue_id: str,
        reviewer: str,
        n: int = 1,
        *,
        sees_severe: bool = False,
        without: Collection[str] = (),
        now: datetime | None = None,
    ) -> list[Item]:
        """Take the next items; nobody else gets them until the lease ends. Of a paused queue, none.

        A person is never given what they have decided, hold or skipped in this queue.

        :param sees_severe: may see what was marked as severe.
        :param without: ids of items that are passed over.
        :raises QueueError: there is no such queue, or it is not for this person.
        """
        with self._database.write() as connection:
            queue = _get(connection, queue_id)
            if not queue.is_for(reviewer):
                raise QueueError(f"queue {queue.spec.name!r} is for other people")
            if queue.paused:
                return []
            moment = now or datetime.now(UTC)
            return work.take(
                connection, queue, reviewer, n, now=moment, sees_severe=sees_severe, without=without
            )

    def held(self, queue_id: str, reviewer: str, *, now: datetime | None = None) -> list[Item]:
        """Items that a person holds: where they go on."""
        query = sa.select(*ITEMS.row).where(
            _I.c.queue_id == queue_id,
            _I.c.holder == reviewer,
            _I.c.state == ItemState.LEASED,
            _I.c.held_until > (now or datetime.now(UTC)),
        )
        with self._database.read() as connection:
            return ITEMS.read(connection, query.order_by(_I.c.position))

    def items(self, item_ids: Iterable[str]) -> list[Item]:
        """The items of the ids, as far as they are there."""
        found: list[Item] = []
        with self._database.read() as connection:
            for some in few(item_ids):
                found += ITEMS.read(connection, sa.select(*ITEMS.row).where(_I.c.item_id.in_(some)))
        return found

    def renew(self, item_ids: Iterable[str], reviewer: str, *, now: datetime | None = None) -> list[str]:
        """Keep items for longer.

        :returns: the ids of those that the person still holds; the others are somebody else's now.
        """
        with self._database.write() as connection:
            return work.renew(connection, list(item_ids), reviewer, now or datetime.now(UTC))

    def release(self, item_ids: Iterable[str], reviewer: str) -> int:
        """Give items back; returns how many the person held."""
        with self._database.write() as connection:
            return work.release(connection, list(item_ids), reviewer)

    def set_aside(self, item_ids: Iterable[str], reviewer: str) -> None:
        """Nobody can look at items that a person holds: they wait for nobody, and their queue ends without.

        So do others of the same image that nobody holds.
        """
        with self._database.write() as connection:
            work.set_aside(connection, list(item_ids), reviewer)

    def look_again(self, queue_id: str) -> int:
        """Let wait again what could not be seen; returns how many items."""
        with self._database.write() as connection:
            return work.look_again(connection, queue_id)

    def unseen(self, queue_id: str, limit: int) -> list[Item]:
        """Items of a queue that could not be seen, in its order."""
        query = sa.select(*ITEMS.row).where(_I.c.queue_id == queue_id, work.is_unseen())
        with self._database.read() as connection:
            return ITEMS.read(connection, query.order_by(_I.c.position).limit(limit))

    def skipped(self) -> dict[str, int]:
        """How many items still wait that somebody skipped, by id of their queue."""
        with self._database.read() as connection:
            return work.count_skipped(connection)

    def left(self, queue_id: str, reviewer: str, *, sees_severe: bool = False) -> Left:
        """What of the open items of a queue a person gets."""
        with self._database.read() as connection:
            queue = _get(connection, queue_id)
            return work.left(connection, queue, reviewer, sees_severe=sees_severe)

    def skip_no_more(self, queue_id: str, reviewer: str) -> int:
        """Give a person again what they skipped and nobody has decided; returns how many items."""
        with self._database.write() as connection:
            return work.skip_no_more(connection, queue_id, reviewer)

    def submit(
        self,
        verdicts: Sequence[Verdict],
        done: Iterable[str] = (),
        skipped: Iterable[str] = (),
        *,
        reviewer: str | None = None,
        reopened: Iterable[str] = (),
        unseen: Iterable[str] = (),
    ) -> Appended:
        """Store decisions and what becomes of their items, all or nothing; may be repeated.

        :param done: ids of items that are decided.
        :param skipped: ids of items that this person does not want; they are open for all others.
        :param reviewer: needed where no verdict names the person.
        :param reopened: ids of items whose decision was undone; the person holds them again.
        :param unseen: ids of items with no image that anybody could look at.
        :raises VerdictError: a verdict cannot be taken, so none is.
        :raises StateError: nothing is stored.
        """
        people = {said.reviewer for said in verdicts} | ({reviewer} if reviewer else set())
        if len(people) != 1:
            raise QueueError(f"decisions are of one person; these are of {len(people)}")
        person = people.pop()
        with self._database.write() as connection:
            appended = log.add(connection, verdicts)
            work.finish(connection, list(done), person)
            not_seen = set(unseen)
            not_held = not_seen.difference(work.set_aside(connection, list(not_seen), person))
            work.skip(connection, [*skipped, *not_held], person)
            back = list(reopened)
            work.reopen(connection, back, person, datetime.now(UTC))
            disputes.once(connection, back)
            return appended

    def progress(self, queue_id: str) -> Progress:
        """How far a queue is."""
        return self.progress_of_all([queue_id]).get(queue_id, Progress())

    def progress_of_all(self, queue_ids: Iterable[str] | None = None) -> dict[str, Progress]:
        """How far queues are, by id; a queue without items is not named."""
        query = sa.select(_I.c.queue_id, _I.c.state, sa.func.count()).group_by(_I.c.queue_id, _I.c.state)
        if queue_ids is not None:
            query = query.where(_I.c.queue_id.in_(list(queue_ids)))
        found: dict[str, dict[str, int]] = {}
        with self._database.read() as connection:
            for queue_id, state, number in connection.execute(query):
                found.setdefault(queue_id, {})[state] = number
            over = [queue_id for queue_id, numbers in found.items() if ItemState.DONE in numbers]
            for some in few(over):
                unseen = sa.select(_I.c.queue_id, sa.func.count()).where(
                    _I.c.queue_id.in_(some), work.is_unseen()
                )
                for queue_id, number in connection.execute(unseen.group_by(_I.c.queue_id)):
                    found[queue_id]["unseen"] = number
                    found[queue_id][ItemState.DONE] -= number
        return {queue_id: Progress(**numbers) for queue_id, numbers in found.items()}

    def oldest_waiting(self) -> Waiting | None:
        """What waits for the longest time in a queue that is not paused; None when nothing does."""
        oldest: list[Waiting] = []
        with self._database.read() as connection:
            for state in (ItemState.LEASED, ItemState.OPEN):
                query = sa.select(_I.c.queue_id, _I.c.item_id, _I.c.added_at).join(
                    _Q, _Q.c.queue_id == _I.c.queue_id
                )
                query = (
                    query.where(_I.c.state == state, sa.not_(_Q.c.paused)).order_by(_I.c.added_at).limit(1)
                )
                oldest += [Waiting(*row) for row in connection.execute(query)]
        return min(oldest, key=lambda item: item.since, default=None)

    def decided_in(self, queue_id: str) -> set[tuple[str, str]]:
        """Content and label of the items of a queue that are decided."""
        query = sa.select(_I.c.content, _I.c.label)
        query = query.where(_I.c.queue_id == queue_id, work.is_decided())
        with self._database.read() as connection:
            return {(content, label) for content, label in connection.execute(query)}

    def pause(self, queue_id: str) -> Queue:
        """Hand out nothing more; who holds items may still decide them."""
        return self._change(queue_id, paused=True)

    def resume(self, queue_id: str) -> Queue:
        """Go on."""
        return self._change(queue_id, paused=False)

    def restrict(self, queue_id: str, people: Iterable[str]) -> Queue:
        """Let only these people work on it; none for everybody."""
        spec = replace(self.get(queue_id).spec, people=tuple(dict.fromkeys(people)))
        return self._change(queue_id, spec=spec.to_json())

    def disputes(self, limit: int = 1_000) -> list[Item]:
        """What people disagree about and nobody has decided, the oldest first."""
        query = sa.select(*ITEMS.row).where(_I.c.queue_id == DISPUTES, _I.c.state != ItemState.DONE)
        with self._database.read() as connection:
            return ITEMS.read(connection, query.order_by(_I.c.position).limit(limit))

    def _change(self, queue_id: str, **values: Any) -> Queue:
        with self._database.write() as connection:
            connection.execute(sa.update(_Q).where(_Q.c.queue_id == queue_id).values(**values))
            return _get(connection, queue_id)

    def _golden(self, queue_id: str) -> list[Item]:
        """Items of which the truth was laid down in queues of golden items, none in its own queue."""
        query = (
            sa.select(*ITEMS.row)
            .join(_Q, _Q.c.queue_id == _I.c.queue_id)
            .where(_Q.c.kind == Kind.GOLDEN, _Q.c.queue_id != queue_id, work.is_decided())
            .order_by(_I.c.queue_id, _I.c.position)
        )
        with self._database.read() as connection:
            return ITEMS.read(connection, query)


def _get(connection: Connection, queue_id: str) -> Queue:
    found = QUEUES.read(connection, sa.select(*QUEUES.row).where(_Q.c.queue_id == queue_id))
    if not found:
        raise QueueError(f"there is no queue {queue_id!r}")
    return found[0]


def _add(connection: Connection, queue_id: str, items: list[Item]) -> int:
    last = connection.execute(
        sa.update(_Q)
        .where(_Q.c.queue_id == queue_id)
        .values(last_position=_Q.c.last_position + len(items))
        .returning(_Q.c.last_position)
    ).scalar_one()
    now = datetime.now(UTC)
    fresh = {"state": ItemState.OPEN, "added_at": now, "holder": None, "held_until": None}
    rows = [
        summed(vars(item) | fresh | {"position": last - len(items) + number})
        for number, item in enumerate(items, start=1)
    ]
    connection.execute(insert_new(connection, _I).on_conflict_do_nothing(), rows)
    new = sa.select(sa.func.count()).where(_I.c.queue_id == queue_id, _I.c.position > last - len(items))
    return connection.execute(new).scalar_one()
