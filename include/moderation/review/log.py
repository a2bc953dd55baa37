"""The log of verdicts: rows are added, never changed; undo and change are new rows.

The one exception is an erasure: the row stays as a count, what names the image goes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from moderation.review import effective, work
from moderation.review.disputes import settle
from moderation.review.rows import VERDICTS, Damaged, damaged
from moderation.review.state import checksums, mending, tables
from moderation.review.state.database import Database, few, insert_new
from moderation.review.state.migrate import forget_copies
from moderation.review.verdict import ERASED, Said, Verdict, VerdictError

_T = tables.verdicts
_FACTS = ("reviewer", "content", "subject", "label", "verdict")
"""In what two rows of one id must agree, or they are two verdicts."""


_WAITS = sa.text("NOT published")
"""As the index of these rows has it: SQLite takes one for no other words that mean the same."""


@dataclass(frozen=True)
class Appended:
    """What came of verdicts that were sent.

    :ivar new: were not known and are stored now.
    :ivar known: had been sent before, and count once.
    """

    new: int
    known: int


@dataclass(frozen=True)
class Extent:
    """How far the log goes.

    :ivar position: the highest; 0 without rows.
    :ivar behind: rows behind the position that was asked for.
    """

    rows: int
    position: int
    behind: int


class VerdictLog:
    """All verdicts of a state. Safe for threads; nothing is returned before it is stored for good.

    What gives verdicts raises StateUnusableError where one of them is not as it was written.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, verdicts: Sequence[Verdict]) -> Appended:
        """Store verdicts, all or none; those that are known by their id are passed over.

        :raises VerdictError: an id was used for something else, or what is withdrawn is another person's.
        :raises StateError: they are not stored.
        """
        with self._database.write() as connection:
            return add(connection, verdicts)

    def of_contents(self, contents: Iterable[str]) -> list[Verdict]:
        """Every row of the contents, in the order of their arrival."""
        with self._database.read() as connection:
            return of_contents(connection, contents)

    def of_items(self, item_ids: Iterable[str]) -> list[Verdict]:
        """Every row that was said in the items of a queue, in the order of their arrival."""
        with self._database.read() as connection:
            return _named(connection, _T.c.item_id, item_ids)

    def of_ids(self, verdict_ids: Iterable[str]) -> list[Verdict]:
        """The rows of the ids, as far as they are known, in the order of their arrival."""
        with self._database.read() as connection:
            return _named(connection, _T.c.verdict_id, verdict_ids)

    def by_reviewer(
        self, name: str, limit: int = 50, *, before: datetime | None = None, queue_id: str | None = None
    ) -> list[Verdict]:
        """The last rows of a person, the newest first.

        :param before: only what was said before it.
        :param queue_id: only what was said in this queue.
        """
        query = sa.select(*VERDICTS.row).where(_T.c.reviewer == name)
        if queue_id is not None:
            query = query.where(_T.c.queue_id == queue_id)
        if before is not None:
            query = query.where(_T.c.decided_at < before)
        query = query.order_by(_T.c.decided_at.desc(), _T.c.position.desc()).limit(limit)
        with self._database.read() as connection:
            return _verdicts(connection, query)

    def since(self, position: int, limit: int = 10_000) -> list[tuple[int, Verdict]]:
        """Rows behind a position, with theirs. Several writers may add a row with a lower one later."""
        query = sa.select(*VERDICTS.row).where(_T.c.position > position)
        with self._database.read() as connection:
            return VERDICTS.read(connection, query.order_by(_T.c.position).limit(limit))

    def count(self) -> int:
        """How many rows there are."""
        with self._database.read() as connection:
            return connection.execute(sa.select(sa.func.count()).select_from(_T)).scalar_one()

    def unpublished(self, limit: int = 100_000) -> list[Verdict]:
        """Rows that the table `verdicts` lacks, or has as they were before an erasure; the oldest first."""
        query = sa.select(*VERDICTS.row).where(_WAITS).order_by(_T.c.position).limit(limit)
        with self._database.read() as connection:
            return _verdicts(connection, query)

    def waiting(self) -> tuple[int, datetime | None]:
        """How many rows are not published, and when the oldest of them was said."""
        query = sa.select(sa.func.count(), sa.func.min(_T.c.decided_at)).where(_WAITS)
        with self._database.read() as connection:
            number, oldest = connection.execute(query).one()
        return number, oldest

    def mark_unpublished(self) -> None:
        """The table has none of these rows any more: all are to be published again."""
        with self._database.write() as connection:
            connection.execute(sa.update(_T).where(_T.c.published).values(published=False))

    def mark_published(self, verdicts: Iterable[Verdict]) -> None:
        """The table has these rows, as they are; one that was erased meanwhile is published again."""
        with self._database.write() as connection:
            for erased in (False, True):
                ids = [said.verdict_id for said in verdicts if said.erased is erased]
                for some in few(ids):
                    connection.execute(
                        sa.update(_T)
                        .where(_T.c.verdict_id.in_(some), _T.c.erased == erased)
                        .values(published=True, **({"checksum": checksums.without_taken()} if erased else {}))
                    )

    def restore(self, verdicts: Sequence[Verdict]) -> Appended:
        """Take rows back from the table; those that are there stay as they are."""
        with self._database.write() as connection:
            return _insert(connection, verdicts, published=True)

    def damaged(self) -> list[Damaged]:
        """The rows, of items and queues too, that are not as they were written. Reads all of them."""
        with self._database.read() as connection:
            return list(damaged(connection))

    def mend(self, damaged: Iterable[Damaged], published: Iterable[Verdict]) -> list[Damaged]:
        """Make damaged verdicts what the table says of them; returns the rows of which it says nothing."""
        by_id = {said.verdict_id: said for said in published}
        with self._database.write() as connection:
            return mending.mend(connection, damaged, by_id)

    def put_right(self, damaged: Iterable[Damaged]) -> list[Damaged]:
        """Make damaged rows what their checksums say of them; returns those of which they do not tell."""
        with self._database.write() as connection:
            return mending.put_right(connection, damaged)

    def set_aside(self, damaged: Iterable[Damaged]) -> None:
        """Take damaged rows out; what was decided in them is open again."""
        with self._database.write() as connection:
            mending.take_out(connection, damaged)

    def erase(self, *, contents: Iterable[str] = (), source_refs: Iterable[str] = ()) -> int:
        """Forget images: their verdicts stay as a count without key, hash and note, their items go.

        The content behind a key is forgotten with it: its other keys would still tell what was in it. Copies
        that were put aside before a migration go too.

        :returns: how many verdicts were changed. They are to be published again.
        """
        changed = self._erase(contents, source_refs)
        forget_copies(self._database)
        return changed

    def _erase(self, contents: Iterable[str], source_refs: Iterable[str]) -> int:
        with self._database.write() as connection:
            names = _contents_of(connection, source_refs) | set(contents)
            changed = 0
            for some in few(sorted(names)):
                nothing: dict[str, Any] = dict.fromkeys(ERASED)
                changed += connection.execute(
                    sa.update(_T)
                    .where(_T.c.content.in_(some))
                    .values(**nothing, erased=True, published=False, checksum=checksums.without_taken())
                ).rowcount
                gone = sa.select(tables.items.c.item_id).where(tables.items.c.content.in_(some))
                connection.execute(sa.delete(tables.skips).where(tables.skips.c.item_id.in_(gone)))
                connection.execute(sa.delete(tables.items).where(tables.items.c.content.in_(some)))
        return changed

    def contents_of(self, source_refs: Iterable[str]) -> set[str]:
        """The contents behind keys, as far as verdicts and queues know them."""
        with self._database.read() as connection:
            return _contents_of(connection, source_refs)

    def severe(self) -> set[str]:
        """Contents that nobody but who decides may see."""
        marked = sa.select(_T.c.content).where(_T.c.verdict == Said.SEVERE, _T.c.content.is_not(None))
        with self._database.read() as connection:
            query = sa.select(*VERDICTS.row).where(_T.c.content.in_(marked)).order_by(_T.c.position)
            return effective.severe(_verdicts(connection, query))

    def exposures(self, reviewer: str, day: date) -> int:
        """How many different contents a person was shown on a day in UTC: decided, skipped or taken back.

        What is severe is counted as nobody's.
        """
        begin = datetime.combine(day, time(), tzinfo=UTC)
        query = sa.select(
            sa.func.count(sa.distinct(sa.func.coalesce(_T.c.content, _T.c.item_id, _T.c.verdict_id)))
        ).where(
            _T.c.reviewer == reviewer,
            _T.c.decided_at >= begin,
            _T.c.decided_at < begin + timedelta(days=1),
            _T.c.origin == "console",
            sa.or_(_T.c.content.is_(None), ~work.is_severe(_T.c.content)),
        )
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def last_position(self) -> int:
        """The highest position; 0 while nothing was said."""
        with self._database.read() as connection:
            return int(connection.execute(sa.select(sa.func.max(_T.c.position))).scalar_one() or 0)

    def extent(self, position: int) -> Extent:
        """How many rows there are, and how many of them behind a position."""
        count = sa.select(sa.func.count()).select_from(_T)
        with self._database.read() as connection:
            # One by one: SQLite then counts without looking at the rows, and both ends by their key.
            last = connection.execute(sa.select(sa.func.max(_T.c.position))).scalar_one()
            behind = connection.execute(count.where(_T.c.position > position)).scalar_one()
            return Extent(connection.execute(count).scalar_one(), last or 0, behind)

    def contents_behind(self, position: int) -> set[str]:
        """Contents of the rows behind a position."""
        query = sa.select(_T.c.content).where(_T.c.position > position, _T.c.content.is_not(None))
        with self._database.read() as connection:
            return set(connection.execute(query).scalars())

    def verified(self, contents: Iterable[str] | None = None) -> set[str]:
        """Contents of which a person said something that they did not take back; skipped is nothing said.

        :param contents: only these of them; all when None.
        """
        undone = sa.select(_T.c.replaces).where(_T.c.verdict == Said.WITHDRAWN, _T.c.replaces.is_not(None))
        query = sa.select(_T.c.content).where(_T.c.verdict.not_in([Said.WITHDRAWN, Said.SKIPPED, Said.NOTE]))
        with self._database.read() as connection:
            if contents is None:
                every = query.where(_T.c.verdict_id.not_in(undone))
                return set(connection.execute(every).scalars()) - {None}
            found: set[str] = set()
            for some in few(sorted(contents)):
                theirs = undone.where(_T.c.content.in_(some))
                named = query.where(_T.c.content.in_(some), _T.c.verdict_id.not_in(theirs)).distinct()
                found |= set(connection.execute(named).scalars())
        return found

    def decided_since(self, moment: datetime, labels: Iterable[str]) -> int:
        """How many different contents were decided since then about these labels, or as a whole.

        What was erased, undone, passed over or left open does not count.
        """
        undone = sa.select(_T.c.replaces).where(_T.c.replaces.is_not(None))
        query = sa.select(sa.func.count(sa.distinct(_T.c.content))).where(
            _T.c.dt >= moment.date(),
            _T.c.decided_at >= moment,
            _T.c.verdict_id.not_in(undone),
            sa.or_(
                _T.c.label.in_(list(labels)) & _T.c.verdict.in_([Said.PRESENT, Said.ABSENT]),
                _T.c.verdict.in_([Said.NOTHING, Said.COMPLETE]),
            ),
        )
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())


def add(connection: Connection, verdicts: Sequence[Verdict]) -> Appended:
    """Store verdicts within a transaction, and put what people disagree about before who decides.

    :raises VerdictError: as :meth:`VerdictLog.append`.
    """
    _check_withdrawn(connection, verdicts)
    appended = _insert(connection, verdicts, published=False)
    touched = {said.content for said in verdicts if said.content is not None}
    settle(connection, touched, lambda contents: of_contents(connection, contents))
    return appended


def of_contents(connection: Connection, contents: Iterable[str]) -> list[Verdict]:
    """Every row of the contents, within a transaction."""
    return _named(connection, _T.c.content, contents)


def _insert(connection: Connection, verdicts: Sequence[Verdict], *, published: bool) -> Appended:
    by_id = {said.verdict_id: said for said in verdicts}
    for said in verdicts:
        _check_same(by_id[said.verdict_id], said)
    if not by_id:
        return Appended(0, 0)
    statement = insert_new(connection, _T).on_conflict_do_nothing().returning(_T.c.verdict_id)
    # In the order of their ids, so that two that send the same rows do not wait for each other.
    rows = [
        checksums.as_stored(said.as_row()) | {"published": published} for _, said in sorted(by_id.items())
    ]
    new = set(connection.execute(statement, rows).scalars())
    for known in _named(connection, _T.c.verdict_id, set(by_id) - new):
        _check_same(known, by_id[known.verdict_id])
    return Appended(new=len(new), known=len(verdicts) - len(new))


def _check_same(known: Verdict, sent: Verdict) -> None:
    facts = [name for name in _FACTS if not (name == "content" and (known.erased or sent.erased))]
    if any(getattr(known, name) != getattr(sent, name) for name in facts):
        raise VerdictError(
            f"verdict {sent.verdict_id} was sent before and said something else; each verdict needs an id of "
            "its own"
        )


def _check_withdrawn(connection: Connection, verdicts: Sequence[Verdict]) -> None:
    by_id = {said.verdict_id: said for said in verdicts}
    wanted = {said.replaces for said in verdicts if said.replaces and said.replaces not in by_id}
    by_id |= {said.verdict_id: said for said in _named(connection, _T.c.verdict_id, wanted)}
    for said in verdicts:
        known = by_id.get(said.replaces or "")
        if said.verdict == Said.WITHDRAWN and known is not None and known.reviewer != said.reviewer:
            raise VerdictError(
                f"verdict {said.verdict_id} withdraws {known.verdict_id} of another person; "
                "say what is right instead"
            )


def _contents_of(connection: Connection, source_refs: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for some in few(source_refs):
        for table in (_T, tables.items):
            query = sa.select(table.c.content).where(
                table.c.source_ref.in_(some), table.c.content.is_not(None)
            )
            found |= set(connection.execute(query).scalars())
    return found


def _named(connection: Connection, column: sa.Column[Any], names: Iterable[str]) -> list[Verdict]:
    found: list[tuple[int, Verdict]] = []
    for some in few(sorted(set(names))):
        found += VERDICTS.read(connection, sa.select(*VERDICTS.row).where(column.in_(some)))
    return [said for _, said in sorted(found, key=lambda entry: entry[0])]


def _verdicts(connection: Connection, query: sa.Select[Any]) -> list[Verdict]:
    return [said for _, said in VERDICTS.read(connection, query)]
