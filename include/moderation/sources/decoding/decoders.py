"""A few processes that make images small, ended and replaced when one takes too long or dies."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterable
from itertools import chain, islice
from pathlib import Path

from moderation.errors import NeedsAPersonError
from moderation.sources.decoding.decode import FIRST, OK, WHOLE, read_frame, write_frame

SECONDS = 240.0
"""By the clock, for a process that stands still. What one image may take of a core it allows itself
(`decode.CPU_SECONDS`)."""

_PROGRAM = Path(__file__).with_name("decode.py")
_ALLOCATOR = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(16 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(32 << 20),
}
"""Of glibc: what one image took is kept for the next. Given back to the system each time, and taken again, it
had cost an eighth of the time for a file of 4 MB."""


class CannotShowError(NeedsAPersonError):
    """There is no image to show; the message says why, as a person reads it."""


class Decoders:
    """Processes running :mod:`moderation.sources.decoding.decode`, started when first needed if not before.

    :param number: how many; as many images are worked on at once. None: one a processor, six at most, for a
        browser asks for no more at once.
    """

    def __init__(self, number: int | None = None) -> None:
        self.number = min(6, max(2, os.cpu_count() or 2)) if number is None else number
        self._idle: queue.LifoQueue[_Decoder] = queue.LifoQueue()
        for _ in range(self.number):
            self._idle.put(_Decoder())

    def start(self) -> None:
        """Start those processes that are idle and not running, before there is an image for them."""
        taken: list[_Decoder] = []
        with contextlib.suppress(queue.Empty):
            while True:
                taken.append(self._idle.get_nowait())
        for decoder in taken:
            with contextlib.suppress(OSError):  # Tried again when there is an image for it, which then tells.
                decoder.start()
            self._idle.put(decoder)

    def shrink(self, parts: Iterable[bytes], longest: int) -> bytes:
        """See :func:`moderation.sources.decoding.decode.shrink`; waits for its turn.

        :param parts: the bytes of the file, in order; decoded while they arrive if a process is idle, and
            otherwise read while its turn is waited for. What they raise is raised here.
        :raises CannotShowError: there is nothing to show, the process died of it, or it took too long.
        """
        return self._answered(parts, str(longest))[1]

    def whole(self, data: bytes) -> tuple[bytes, bool]:
        """A JPEG, and whether it is the first of several; see `decode.whole`.

        :raises CannotShowError: as :meth:`shrink` does.
        """
        said, made = self._answered([data], WHOLE)
        return made, said == FIRST

    def _answered(self, parts: Iterable[bytes], wanted: str) -> tuple[str, bytes]:
        coming = iter(parts)
        begun = list(islice(coming, 1))  # No process waits for a file that is not there.
        try:
            decoder = self._idle.get_nowait()
        except queue.Empty:
            begun = [b"".join(chain(begun, coming))]
            decoder = self._idle.get()
        try:
            return decoder.answer(chain(begun, coming), wanted)
        finally:
            self._idle.put(decoder)

    def close(self) -> None:
        """End the processes that are idle."""
        while True:
            try:
                self._idle.get_nowait().end()
            except queue.Empty:
                return


class _Decoder:
    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def answer(self, parts: Iterable[bytes], wanted: str) -> tuple[str, bytes]:
        process = self.start()
        late = threading.Timer(SECONDS, process.kill)
        late.start()
        try:
            said, made = self._ask(process, parts, wanted)
        except BaseException:  # What reads the file: the process has half of it.
            self.end()
            raise
        finally:
            late.cancel()
        if said is None or made is None:
            self.end()
            raise CannotShowError("it takes more time or memory than one image may")
        if said.decode() not in {OK, FIRST}:
            raise CannotShowError(said.decode())
        return said.decode(), made

    @staticmethod
    def _ask(
        process: subprocess.Popen[bytes], parts: Iterable[bytes], wanted: str
    ) -> tuple[bytes | None, bytes | None]:
        given, answered = process.stdin, process.stdout
        if given is None or answered is None:
            return None, None
        frames = chain([wanted.encode()], filter(None, parts), [b""])
        for frame in frames:
            try:
                write_frame(given, frame)
                given.flush()
            except OSError:  # It died before it had read all.
                return None, None
        said = read_frame(answered)
        return said, None if said is None else read_frame(answered)

    def start(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self.end()
        if self._process is None:
            self._process = subprocess.Popen(
                # Isolated: neither the working directory nor the environment says what is imported.
                [sys.executable, "-I", str(_PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={"LC_ALL": "C.UTF-8"} | _ALLOCATOR,
                cwd=os.sep,
                start_new_session=True,
            )
        return self._process

    def end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
