"""A small object that is written, read and deleted to see what may be done at a place in S3.

It is removed also by who is interrupted or told to end. Who is killed leaves it behind under a name of its
own, by which the next probe and every compaction find it. The name ends as no image's does, so that no
listing of a source takes it for one.
"""

from __future__ import annotations

import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any, NoReturn

from moderation.storage import s3_objects

FOLDER = "doctor-probe"
BODY = b"moderation doctor wrote this to see whether it may, and deletes it; it can be deleted at any time\n"
LEFT_BEHIND = timedelta(hours=1)
"""No probe takes that long."""


def new_uri(folder: str) -> str:
    """Where the next probe below this folder goes."""
    return s3_objects.join_uri(
        folder, FOLDER, f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(6)}.txt"
    )


@contextmanager
def removed_at_the_end(s3: Any, uri: str) -> Iterator[None]:
    """Delete the object when the block ends, however it ends but by ``kill -9``.

    :raises s3_objects.S3Error: it cannot be deleted; not while another error leaves the block.
    """
    with _told_to_end():
        try:
            yield
        except BaseException:
            with suppress(s3_objects.S3Error):  # what went wrong first is what is told
                s3_objects.delete(s3, uri)
            raise
        s3_objects.delete(s3, uri)


def sweep(s3: Any, folder: str, *, age: timedelta = LEFT_BEHIND) -> int:
    """Delete what probes that were killed left below this folder; returns how many objects.

    :raises s3_objects.S3Error: they cannot be listed or deleted.
    """
    before = datetime.now(UTC) - age
    bucket, _ = s3_objects.split_uri(folder)
    swept = 0
    for entry in s3_objects.list_objects(s3, s3_objects.join_uri(folder, FOLDER, "")):
        if entry["LastModified"] < before:
            s3_objects.delete(s3, s3_objects.Location(bucket, entry["Key"]).uri)
            swept += 1
    return swept


@contextmanager
def _told_to_end() -> Iterator[None]:
    """Turn what would end the process on the spot into an exception, as Ctrl-C is one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt(f"signal {number}")
