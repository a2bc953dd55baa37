"""How long people wait for the database of verdicts, with a million items and with fifty people at once.

``PYTHONPATH=include:tests python benchmarks/review_load.py [sqlite] [postgres] [--items N] [--people 50]``

PostgreSQL is a server of its own on a free loopback port, with fsync on; what autovacuum does within minutes
is done at once when the items are in. People decide twice: each as often as people do, then without any
pause, which is as much as two cores can do.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import sqlalchemy as sa

from moderation.review.queue import Item, QueueSpec
from moderation.review.state.open import State, open_state
from moderation.review.verdict import Verdict
from support import postgres_server
from support.said import said

PAUSE = 2.0
BOUNDS = {
    "queue opens (progress, what I hold, oldest waiting)": 0.5,
    "next item, median of 50": 0.1,
    "next item, one of three is behind a second opinion, 95th percentile": 0.1,
    "1,000 verdicts in one request": 1.0,
    "a submission, people at once, each every two seconds, 95th percentile": 0.3,
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("databases", nargs="*", default=["sqlite", "postgres"])
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--each", type=int, default=40, help="items that each person decides")
    options = parser.parse_args()
    for name in options.databases:
        print(f"{name}, {options.items:,} items, {options.people} people")
        if name == "sqlite":
            with tempfile.TemporaryDirectory() as folder:
                measure(str(Path(folder) / "review.db"), options)
        else:
            postgres_server._SETTINGS.update(
                fsync="on", max_connections="100", shared_buffers="128MB", autovacuum="on"
            )
            with postgres_server.running() as server:
                measure(server.new_database(), options)


def measure(url: str, options: argparse.Namespace) -> None:
    state = open_state(url)
    try:
        queue = state.queues.create(QueueSpec(kind="job", name="large", second_share=0.3)).queue_id
        began = time.perf_counter()
        added = state.queues.add_items(queue, contents(options.items))
        print(f"  {added:,} items added in {time.perf_counter() - began:.1f} s")

        if name_of(state) == "postgresql":
            with state.database.engine.connect() as plain:
                plain.execution_options(isolation_level="AUTOCOMMIT").execute(sa.text("VACUUM ANALYZE"))

        def opens() -> None:
            state.queues.progress_of_all()
            state.queues.held(queue, "ann")
            state.queues.oldest_waiting()

        tell("queue opens (progress, what I hold, oldest waiting)", worst(opens, 5))
        tell("next item, median of 50", statistics.median(times(lambda: state.queues.next(queue, "ann"), 50)))
        state.queues.next(queue, "bob", 3_000)
        waits = times(lambda: state.queues.next(queue, "bob"), 50)
        tell("next item, one of three is behind a second opinion, 95th percentile", at_95(waits))
        many = [said("present", content=f"many{number}") for number in range(1_000)]
        tell("1,000 verdicts in one request", worst(lambda: state.log.append(many), 1))
        waits, _ = people_at_once(state, queue, options, pause=PAUSE)
        tell("a submission, people at once, each every two seconds, 95th percentile", at_95(waits))
        waits, rate = people_at_once(state, queue, options, pause=0)
        print(f"  without any pause: {rate:.0f} decisions a second, 95th percentile {at_95(waits):.1f} s")
    finally:
        state.close()


def contents(count: int) -> Iterator[Item]:
    for number in range(count):
        etag = f"{number:032x}"
        yield Item(
            **{
                "content": f"{etag}-1",
                "etag": etag,
                "size_bytes": 1,
                "load_id": "20261122T020000Z-4f1c0a9b77de",
            },
            **{
                "source_ref": f"s3://archive/2026/11/{number}.jpg",
                "manifest_id": "m0",
                "line_number": number,
            },
        )


def name_of(state: State) -> str:
    return state.database.engine.dialect.name


def people_at_once(
    state: State, queue: str, options: argparse.Namespace, *, pause: float
) -> tuple[list[float], float]:
    """Each takes the next item and decides it; all of it is counted afterwards.

    :param pause: seconds that a person looks at an item, half of it more or less.
    :returns: seconds of each submission, and submissions a second.
    """
    waits: list[float] = []
    said_by_all: list[Verdict] = []
    before = state.log.count()

    def work(person: str) -> None:
        chance = random.Random(person)
        for _ in range(options.each):
            for item in state.queues.next(queue, person):
                time.sleep(pause * chance.uniform(0.5, 1.5))
                verdict = said(
                    "present", content=item.content, reviewer=person, item_id=item.item_id, queue_id=queue
                )
                began = time.perf_counter()
                state.queues.submit([verdict], [item.item_id])
                waits.append(time.perf_counter() - began)
                said_by_all.append(verdict)

    threads = [threading.Thread(target=work, args=(f"person{number}",)) for number in range(options.people)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = len(waits) / (time.perf_counter() - started)
    stored = {row.verdict_id: row for row in state.log.of_items({one.item_id or "" for one in said_by_all})}
    assert stored == {one.verdict_id: one for one in said_by_all}, "something was lost or crossed"
    assert state.log.count() == before + options.people * options.each
    assert max(Counter(one.item_id for one in said_by_all).values()) == 1, "an item had two people"
    print(f"  {len(stored):,} submissions of {options.people} people: nothing lost, doubled or crossed")
    return waits, rate


def times(call: Callable[[], object], tries: int) -> list[float]:
    found = []
    for _ in range(tries):
        began = time.perf_counter()
        call()
        found.append(time.perf_counter() - began)
    return found


def worst(call: Callable[[], object], tries: int) -> float:
    return max(times(call, tries))


def at_95(waits: list[float]) -> float:
    return sorted(waits)[int(len(waits) * 0.95)]


def tell(name: str, seconds: float) -> None:
    print(f"  {name:72} {seconds * 1000:8.1f} ms  (bound {BOUNDS[name] * 1000:.0f})", flush=True)


if __name__ == "__main__":
    main()
