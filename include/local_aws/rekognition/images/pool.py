"""A bounded pool of worker threads that serves its customers in turn."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from local_aws.inference.weight import LIGHT, Effort

T = TypeVar("T")
_Task = tuple[Future[Any], Callable[[], Any], Effort]
Lane = tuple[str, str]
"""(group, customer): groups take turns, and within a group its customers do."""


class FairPool:
    """Runs work of many lanes on a few threads.

    Turns are measured in work, not in tasks (start-time fair queueing): whoever has had the least goes next.
    Single calls are one group and jobs another, so twenty jobs with ten thousand images each do not hold up a
    call for longer than one image. Of one customer's images, those of about the same size wait in one line,
    and the lines take turns too: a small image does not wait behind many huge ones that came before it.

    Images that are worked on alone run one at a time, and where there are several threads one is kept from
    them: two would wait for each other while small ones wait for both.

    :param workers: threads.
    """

    def __init__(self, workers: int, *, name: str = "worker") -> None:
        self._root = _Turns()
        self._alone = False
        self._spare = workers > 1
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [threading.Thread(target=self._work, name=f"{name}-{n}") for n in range(workers)]
        for thread in self._threads:
            thread.start()

    def submit(self, lane: Lane, work: Callable[[], T], *, effort: Effort = LIGHT) -> Future[T]:
        """Queue work; the future is cancelled if the pool closes before its turn."""
        future: Future[T] = Future()
        with self._changed:
            if self._closed:
                future.cancel()
                return future
            self._root.add([*lane, effort.size_class], (future, work, effort))
            self._changed.notify()
        return future

    def close(self) -> None:
        """Finish the work in hand, cancel what waits, end the threads."""
        with self._changed:
            self._closed = True
            waiting = self._root.empty()
            self._changed.notify_all()
        for future, _, _ in waiting:
            future.cancel()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                task = self._next()
                while task is None and not self._closed:
                    self._changed.wait()
                    task = self._next()
                if task is None:
                    return
            future, work, effort = task
            _run(future, work)
            with self._changed:
                if effort.alone:
                    self._alone = False
                    self._changed.notify()

    def _next(self) -> _Task | None:
        task = self._root.take(lambda effort: not (effort.alone and self._alone and self._spare))
        if task is not None and task[2].alone:
            self._alone = True
        return task


class _Turns:
    """A tree of waiting lines: at each level the branch that has had the least work goes next.

    ``_now`` is what the branch that went last had had before it went; ``_served`` what this one has had.
    """

    def __init__(self, served: int = 0) -> None:
        self._branches: dict[str, _Turns] = {}
        self._tasks: deque[_Task] = deque()
        self._waiting = 0
        self._served = served
        self._now = 0

    def add(self, path: list[str], task: _Task) -> None:
        """Put a task at the end of the line at ``path``.

        A branch that comes anew begins at ``_now``: it gets its turn soon, and claims nothing for the time in
        which it did not ask. One that has just had more than its share keeps that on its account though it is
        empty, as long as others wait.
        """
        self._waiting += 1
        if path:
            self._branches.setdefault(path[0], _Turns(self._now)).add(path[1:], task)
        else:
            self._tasks.append(task)

    def take(self, fits: Callable[[Effort], bool]) -> _Task | None:
        """Remove and return the task whose turn it is among those that fit; None when there is none."""
        task = self._take_own(fits) if self._tasks else self._take_of_branches(fits)
        if task is not None:
            self._waiting -= 1
            self._forget()
        return task

    def empty(self) -> list[_Task]:
        """Remove and return all tasks."""
        found = [*self._tasks, *(task for branch in self._branches.values() for task in branch.empty())]
        self._tasks.clear()
        self._branches.clear()
        self._waiting = 0
        return found

    def _take_own(self, fits: Callable[[Effort], bool]) -> _Task | None:
        return self._tasks.popleft() if fits(self._tasks[0][2]) else None

    def _take_of_branches(self, fits: Callable[[Effort], bool]) -> _Task | None:
        for branch in sorted(self._branches.values(), key=lambda branch: branch._served):
            task = branch.take(fits)
            if task is not None:
                self._now = branch._served
                branch._served += task[2].work
                return task
        return None

    def _forget(self) -> None:
        """Drop the accounts that no longer make a difference."""
        if not self._waiting:
            self._branches, self._now = {}, 0
            return
        for name, branch in list(self._branches.items()):
            if not branch._waiting and branch._served <= self._now:
                del self._branches[name]


def _run(future: Future[T], work: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(error)
