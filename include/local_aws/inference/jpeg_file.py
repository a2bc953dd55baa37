"""Reads the outside of a JPEG, and makes copies of it that show whether pixels are missing.

A decoder that runs out of data says nothing a caller could hear: it takes zero bits for what is missing and
shows grey. But it does look at what stands where the missing data should be. So each stretch of compressed
data gets something else put behind it, a filling, and the file is decoded with two different ones. A whole
stretch never reads its filling, for a decoder skips to the next marker when it has all blocks (T.81, B.1.1.2
and F.2.2.5); one that is not whole takes the filling for pixels, and the two pictures differ. Restart markers
are counted, because a stretch that is missing as a whole leaves no place for a filling.

Bytes between segments are skipped as decoders do, and the end marker is not needed once everything is there.
"""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass, field
from typing import ClassVar, Final, NamedTuple

from local_aws.inference.containers import MAX_PARTS, Container, invalid, orientation_of

JPEG_SIGNATURE: Final = b"\xff\xd8\xff"

# Each progressive scan passes over the whole picture again. Encoders write about ten.
_MAX_SCANS: Final = 100
_MAX_SCANNED_PIXELS: Final = 2_500_000_000
# One restart marker for each block of the largest picture.
_MAX_RESTARTS: Final = 1_600_000

JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
JPEG_PROGRESSIVE: Final = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
JPEG_SOS: Final = 0xDA
_ARITHMETIC: Final = frozenset(range(0xC9, 0xD0)) - {0xCC}
_TABLES: Final = frozenset({0xC4, 0xCC, 0xDB, 0xDD})
_DRI: Final = 0xDD
_SOI: Final = 0xD8
_EOI: Final = 0xD9
_EXIF: Final = 0xE1
# APP0 (JFIF) and APP14 (Adobe) say how the components become colours; the other APPn and comments do not.
_KEPT: Final = _TABLES | {0xE0, 0xEE}
_BAGGAGE: Final = (frozenset(range(0xE0, 0xF0)) | {0xFE}) - _KEPT
_ALONE: Final = frozenset(range(0xD0, 0xD8)) | {0x01}
"""Markers without a length: restarts and TEM."""

# In entropy-coded data 0xFF is followed by a stuffed zero or a restart marker; anything else is a marker.
_NEXT_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_RESTART: Final = re.compile(rb"\xff+([\xd0-\xd7])")
_FILL: Final = re.compile(rb"\xff+(?=[\xd0-\xd7])")

_FILLINGS: Final = tuple(
    hashlib.sha512(name).digest().replace(b"\xff", b"\x5a") for name in (b"one filling", b"another filling")
)
_SHORT_FILLING: Final = 4
"""Bytes in front of each restart marker, of which there may be many."""
_ARITHMETIC_ZEROS: Final = bytes(8)
"""An arithmetic encoder may leave out zero bytes at the end, which the decoder supplies (T.81, D.1.8)."""


class _Component(NamedTuple):
    """One component of a frame: its sampling factors, and the bits that each of its 64 coefficients lacks.

    `lacks` is None for a coefficient of which nothing has come yet.
    """

    horizontal: int
    vertical: int
    lacks: list[int | None]


@dataclass(frozen=True)
class _Frame:
    marker: int
    width: int
    height: int
    components: dict[int, _Component]

    @property
    def is_progressive(self) -> bool:
        return self.marker in JPEG_PROGRESSIVE

    def is_complete(self) -> bool:
        """Whether every coefficient has come with all its bits."""
        return all(not any(lacking != 0 for lacking in one.lacks) for one in self.components.values())

    def is_shown(self) -> bool:
        """Whether something of every component has come, which is all that the standard demands."""
        return all(one.lacks[0] is not None for one in self.components.values())

    def blocks(self, names: list[int]) -> int:
        """How many units a scan of these components codes (T.81, A.2)."""
        widest = max(one.horizontal for one in self.components.values())
        tallest = max(one.vertical for one in self.components.values())
        if len(names) > 1:
            return _ceiling(self.width, 8 * widest) * _ceiling(self.height, 8 * tallest)
        one = self.components[names[0]]
        width = _ceiling(self.width * one.horizontal, widest)
        height = _ceiling(self.height * one.vertical, tallest)
        return _ceiling(width, 8) * _ceiling(height, 8)


@dataclass(frozen=True)
class _Stretch:
    """The entropy-coded data of one scan."""

    data: memoryview
    arithmetic: bool

    def filled(self, filling: bytes) -> bytes:
        zeros = _ARITHMETIC_ZEROS if self.arithmetic else b""
        short = (zeros + filling[:_SHORT_FILLING]).replace(b"\\", b"/")
        return _FILL.sub(short + b"\xff", bytes(self.data).rstrip(b"\xff")) + zeros + filling


@dataclass(frozen=True)
class Jpeg(Container):
    """A JPEG, as the parts that the pixels need."""

    format: ClassVar[str] = "JPEG"
    parts: tuple[memoryview | _Stretch, ...]

    def file(self, *, filling: int = 0) -> bytes:
        """Return the file without its baggage, and with a filling where its compressed data ends.

        :param filling: 0 or 1. The picture is whole if both decode to the same pixels.
        """
        text = _FILLINGS[filling]
        pieces = [part.filled(text) if isinstance(part, _Stretch) else part for part in self.parts]
        return b"".join((b"\xff\xd8", *pieces, b"\xff\xd9"))


def decoder_bytes_of_jpeg(width: int, height: int, components: int, *, collected: bool) -> int:
    """The memory that decoding a JPEG takes at most.

    :param collected: whether it has several scans; then it is collected whole, in 16-bit numbers. Others are
        reduced while they are read.
    """
    return 2 * components * width * height if collected else width * height // 4


def inspect_jpeg(data: bytes) -> Jpeg:
    """Read the outside of a JPEG.

    Raises:
        ImageRejected: it is damaged in front of its pixels, lacks pixels as far as the outside shows, or is
        built
            to exhaust the decoder.
    """
    reader = _Reader(data)
    reader.read()
    frame = reader.frame
    if frame is None or not reader.scans:
        raise invalid("the JPEG has no pixels")
    if not frame.is_shown() or not (reader.ended or frame.is_complete()):
        raise invalid("the JPEG is truncated")
    decoder_bytes = decoder_bytes_of_jpeg(
        frame.width, frame.height, len(frame.components), collected=frame.is_progressive or reader.scans > 1
    )
    return Jpeg(frame.width, frame.height, reader.orientation, decoder_bytes, tuple(reader.parts))


def _ceiling(number: int, step: int) -> int:
    return -(-number // step)


class _Damaged(Exception):
    """Something that no decoder could go on from."""


@dataclass
class _Reader:
    """Goes through a file segment by segment; ``ended`` tells whether the end marker was met."""

    data: bytes
    frame: _Frame | None = None
    orientation: int = 1
    scans: int = 0
    ended: bool = False
    parts: list[memoryview | _Stretch] = field(default_factory=list)
    _interval: int = 0
    _position: int = 2

    def read(self) -> None:
        """Read up to the end marker, or to where the picture is complete and something else follows."""
        try:
            for _ in range(MAX_PARTS):
                if self.ended or not self._step():
                    return
        except (_Damaged, struct.error) as error:
            if self.scans == 0:
                raise invalid("the JPEG has a damaged segment") from error
            return
        raise invalid(f"the JPEG has more than {MAX_PARTS} segments")

    def _step(self) -> bool:
        """Read one segment; False when there is nothing more that belongs to the picture."""
        marker = self._next_marker()
        if marker is None:
            return False
        if marker == _EOI:
            self.ended = True
            return False
        if marker in _ALONE:
            return True
        (length,) = struct.unpack_from(">H", self.data, self._position)
        start, end = self._position + 2, self._position + length
        if length < 2 or end > len(self.data):
            raise _Damaged
        segment = memoryview(self.data)[self._position - 2 : end]
        self._position = end
        if marker in JPEG_FRAMES:
            self._begin_frame(marker, start, end)
            self.parts.append(segment)
        elif marker == JPEG_SOS:
            return self._scan(segment, start, end)
        elif marker in _KEPT:
            if marker == _DRI:
                (self._interval,) = struct.unpack_from(">H", self.data, start)
            self.parts.append(segment)
        elif marker not in _BAGGAGE:
            raise _Damaged
        elif marker == _EXIF and self.data.startswith(b"Exif\x00\x00", start) and self.orientation == 1:
            self.orientation = orientation_of(self.data[start + 6 : end])
        return True

    def _next_marker(self) -> int | None:
        """Skip what is between segments, and any fill bytes; the position is behind the marker then."""
        position = self._position
        while (position := self.data.find(b"\xff", position)) >= 0:
            while self.data[position : position + 1] == b"\xff":
                position += 1
            if position >= len(self.data):
                break
            if self.data[position]:
                self._position = position + 1
                return self.data[position]
        return None

    def _begin_frame(self, marker: int, start: int, end: int) -> None:
        if self.frame is not None:
            raise _Damaged
        height, width, count = struct.unpack_from(">xHHB", self.data, start)
        if end - start != 6 + 3 * count:
            raise _Damaged
        components = {}
        for place in range(start + 6, end, 3):
            name, factors = self.data[place], self.data[place + 1]
            components[name] = _Component(factors >> 4, factors & 15, [None] * 64)
        if len(components) != count or not all(
            one.horizontal and one.vertical for one in components.values()
        ):
            raise _Damaged
        self.frame = _Frame(marker, width, height, components)

    def _scan(self, segment: memoryview, start: int, end: int) -> bool:
        """Read a scan's header and data; False when the picture is complete with it, or was before."""
        frame = self.frame
        if frame is None:
            raise _Damaged
        count = self.data[start] if end > start else 0
        names = list(self.data[start + 1 : start + 1 + 2 * count : 2])
        if end - start != 4 + 2 * count or not names or not set(names) <= frame.components.keys():
            raise _Damaged
        if frame.is_complete() and not frame.is_progressive:
            return False
        first, last, approximation = struct.unpack_from(">BBB", self.data, end - 3)
        if frame.is_progressive:
            if first > last or last > 63:
                raise _Damaged
            for name in names:
                frame.components[name].lacks[first : last + 1] = [approximation & 15] * (last + 1 - first)
        else:
            for name in names:
                frame.components[name].lacks[:] = [0] * 64
        self.scans += 1
        pixels = frame.width * frame.height
        if self.scans > _MAX_SCANS or self.scans * pixels > _MAX_SCANNED_PIXELS:
            raise invalid(f"the JPEG passes over its pixels {self.scans} times or more")
        self._take_stretch(segment, end, names)
        return frame.is_progressive or not frame.is_complete()

    def _take_stretch(self, segment: memoryview, end: int, names: list[int]) -> None:
        assert self.frame is not None  # noqa: S101 - for the type checker; _scan has seen to it
        found = _NEXT_MARKER.search(self.data, end)
        self._position = found.start() if found else len(self.data)
        stretch = memoryview(self.data)[end : self._position]
        restarts = b"".join(_RESTART.findall(stretch))
        if len(restarts) > _MAX_RESTARTS:
            raise invalid(f"the JPEG restarts more than {_MAX_RESTARTS} times")
        needed = -(-self.frame.blocks(names) // self._interval) - 1 if self._interval else 0
        cycle = bytes(range(0xD0, 0xD8)) * (needed // 8 + 1)
        if restarts[:needed] != cycle[:needed]:
            raise invalid("the JPEG lacks a part between two restart markers")
        self.parts += [segment, _Stretch(stretch, self.frame.marker in _ARITHMETIC)]
