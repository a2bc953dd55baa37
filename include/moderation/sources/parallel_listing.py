"""Lists a prefix of a bucket over its sub-prefixes at the same time.

A prefix of more than one page is cut at its next slashes where that pays: where the sub-prefixes fit on one
page, or hold hundreds of objects each. Else what is in them is listed page after page. Nothing depends on the
server's order.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from queue import Queue
from typing import Any

from moderation.storage import s3_objects

_MOST_WAITING = 64
"""Pages that are listed and not yet taken."""
_WORTH_A_LISTING = 4
"""Sub-prefixes that a page of objects touches at most, when each of many is worth a listing of its own."""

Entries = list[dict[str, Any]]


def list_in_parallel(s3: Any, bucket: str, prefix: str, *, threads: int) -> Iterator[Entries]:
    """Pages of entries (``Key``, ``ETag``, ``Size``, ``LastModified``) of all objects under a prefix.

    :param s3: a client with at least ``threads`` connections.
    :raises s3_objects.S3Error: the bucket cannot be listed.
    """
    listing = _Listing(s3, bucket)
    with ThreadPoolExecutor(threads, thread_name_prefix="list") as pool:
        listing.go_on(pool, prefix)
        try:
            while (found := listing.pages.get()) is not None:
                if isinstance(found, BaseException):
                    raise found
                yield found
                listing.taken()
        finally:
            listing.stop()


class _Listing:
    """One listing under way.

    :ivar pages: what was found, an error, or None at the end.
    """

    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3, self._bucket = s3, bucket
        self.pages: Queue[Entries | BaseException | None] = Queue()
        self._room = threading.Semaphore(_MOST_WAITING)
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._open = 0

    def go_on(self, pool: ThreadPoolExecutor, *prefixes: str) -> None:
        """List these, too."""
        with self._lock:
            self._open += len(prefixes)
        for prefix in prefixes:
            pool.submit(self._run, pool, prefix)

    def taken(self) -> None:
        """There is room for another page."""
        self._room.release()

    def stop(self) -> None:
        """Nobody takes pages any more."""
        self._stopped.set()
        self._room.release(_MOST_WAITING)

    def _run(self, pool: ThreadPoolExecutor, prefix: str) -> None:
        try:
            if not self._stopped.is_set():
                self._list(pool, prefix)
        except BaseException as error:
            self.pages.put(error)
            self.stop()
        finally:
            with self._lock:
                self._open -= 1
                if not self._open:
                    self.pages.put(None)

    def _list(self, pool: ThreadPoolExecutor, prefix: str) -> None:
        """List what lies directly below a prefix, and its sub-prefixes by themselves where that pays."""
        apart: bool | None = None
        for page in s3_objects.list_pages(self._s3, self._bucket, prefix, delimiter="/"):
            if self._stopped.is_set():
                return
            self._give(page.get("Contents", []))
            folders = [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
            if folders and apart is None:
                pages = s3_objects.list_pages(self._s3, self._bucket, prefix)
                first = next(pages)
                apart = _pays(prefix, first, folders, more=bool(page.get("IsTruncated")))
                if not apart:
                    self._give_folders(prefix, chain([first], pages))
            if apart:
                self.go_on(pool, *folders)

    def _give_folders(self, prefix: str, pages: Iterable[dict[str, Any]]) -> None:
        """What lies in folders of a prefix, listed page after page."""
        for page in pages:
            if self._stopped.is_set():
                return
            self._give([entry for entry in page.get("Contents", []) if "/" in entry["Key"][len(prefix) :]])

    def _give(self, entries: Entries) -> None:
        if entries:
            self._room.acquire()
            if not self._stopped.is_set():
                self.pages.put(entries)


def _pays(prefix: str, first: dict[str, Any], folders: list[str], *, more: bool) -> bool:
    """Whether folders are worth listings of their own.

    :param first: the first page of all that is below the prefix.
    :param folders: some of them.
    :param more: whether there are others.
    """
    rests = (entry["Key"][len(prefix) :].partition("/") for entry in first.get("Contents", []))
    touched = {name for name, slash, _ in rests if slash}
    if not first.get("IsTruncated"):
        return False
    return len(touched or folders) <= _WORTH_A_LISTING if more or not touched else True
