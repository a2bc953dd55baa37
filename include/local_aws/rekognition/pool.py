"""A bounded pool of worker threads that serves its customers in turn."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
_Task = tuple[Future[Any], Callable[[], Any]]
Lane = tuple[str, str]
"""(group, customer): groups take turns, and within a group its customers do."""


class FairPool:
    """Runs work of many lanes on a few threads.

    Single calls are one group and jobs another, so twenty jobs with ten thousand images each do not hold up
    a call for longer than one image.

    :param workers: threads.
    """

    def __init__(self, workers: int, *, name: str = "worker") -> None:
        self._groups: OrderedDict[str, OrderedDict[str, deque[_Task]]] = OrderedDict()
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [threading.Thread(target=self._work, name=f"{name}-{n}") for n in range(workers)]
        for thread in self._threads:
            thread.start()

    def submit(self, lane: Lane, work: Callable[[], T]) -> Future[T]:
        """Queue work; the future is cancelled if the pool closes before its turn."""
        future: Future[T] = Future()
        group, customer = lane
        with self._changed:
            if self._closed:
                future.cancel()
                return future
            lanes = self._groups.setdefault(group, OrderedDict())
            lanes.setdefault(customer, deque()).append((future, work))
            self._changed.notify()
        return future

    def close(self) -> None:
        """Finish the work in hand, cancel what waits, end the threads."""
        with self._changed:
            self._closed = True
            waiting = [task for lanes in self._groups.values() for tasks in lanes.values() for task in tasks]
            self._groups.clear()
            self._changed.notify_all()
        for future, _ in waiting:
            future.cancel()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._groups and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                future, work = self._next()
            _run(future, work)

    def _next(self) -> _Task:
        """Take one task: from the group whose turn it is, and in it from the customer whose turn it is."""
        group, lanes = self._groups.popitem(last=False)
        customer, tasks = lanes.popitem(last=False)
        task = tasks.popleft()
        if tasks:
            lanes[customer] = tasks
        if lanes:
            self._groups[group] = lanes
        return task


def _run(future: Future[T], work: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(error)
