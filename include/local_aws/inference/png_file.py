"""Reads the outside of a PNG, and tells whether it holds every row of pixels.

The end chunk, checksums of pixel data and what is behind the pixels do not matter: a decoder shows the whole
picture without them, so it is answered. What is missing of the pixels themselves does matter: where the
compressed data ends early at the end of a row, the decoder says nothing and leaves the rest black.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import ClassVar, Final

from local_aws.inference.containers import MAX_PARTS, Container, invalid, orientation_of

PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"

_LETTERS: Final = frozenset(range(0x41, 0x5B)) | frozenset(range(0x61, 0x7B))
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ADAM7: Final = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
"""First column and row, and steps between columns and rows, of each pass (PNG specification, 8.2)."""
_PACKED: Final = 64 * 1024
_UNPACKED: Final = 1024 * 1024


@dataclass(frozen=True)
class Png(Container):
    """A PNG.

    `header` is the body of its IHDR; `colours` are its palette and transparency, each chunk whole; `pixels`
    is the compressed data.
    """

    format: ClassVar[str] = "PNG"
    header: bytes
    colours: tuple[bytes, ...]
    pixels: bytes

    def file(self, *, behind: bytes = b"") -> bytes:
        """Return the file with nothing but what the pixels need, and one chunk of them.

        :param behind: bytes to follow the compressed data, which is whole: some decompressors look at more
            than they need before they give out the last pixels.
        """
        head = PNG_SIGNATURE + _chunk(b"IHDR", self.header) + b"".join(self.colours)
        return b"".join((head, *_parts(b"IDAT", self.pixels + behind), _chunk(b"IEND", b"")))

    @property
    def is_interlaced(self) -> bool:
        """Whether the rows come in seven passes."""
        return self.header[12] != 0

    def holds_every_row(self) -> bool:
        """Whether the compressed data unpacks to all the rows the header promises; at most 1 MB is held."""
        wanted, unpacker = self._unpacked_bytes(), zlib.decompressobj()
        try:
            for start in range(0, len(self.pixels), _PACKED):
                rest = self.pixels[start : start + _PACKED]
                while rest and wanted > 0 and not unpacker.eof:
                    wanted -= len(unpacker.decompress(rest, _UNPACKED))
                    rest = unpacker.unconsumed_tail
            if wanted > 0:
                wanted -= len(unpacker.flush())
        except zlib.error:
            return wanted <= 0
        return wanted <= 0

    def _unpacked_bytes(self) -> int:
        depth, colour = self.header[8], self.header[9]
        bits = depth * _CHANNELS.get(colour, 1)
        passes = _ADAM7 if self.is_interlaced else ((0, 0, 1, 1),)
        total = 0
        for left, top, across, down in passes:
            columns, rows = -(-(self.width - left) // across), -(-(self.height - top) // down)
            if columns > 0 and rows > 0:
                total += rows * (1 + -(-columns * bits // 8))
        return total


def decoder_bytes_of_png(width: int, height: int) -> int:
    """The memory that decoding a PNG takes at most."""
    return 4 * width * height


def inspect_png(data: bytes) -> Png:
    """Read the outside of a PNG.

    Raises:
        ImageRejected: it has no good header, no pixels, or more chunks than a picture has.
    """
    position, orientation = len(PNG_SIGNATURE), 1
    header, colours, pixels = b"", [], []
    view = memoryview(data)
    for _ in range(MAX_PARTS):
        if position + 8 > len(data):
            break
        length, kind = struct.unpack_from(">I4s", data, position)
        body, end = view[position + 8 : position + 8 + length], position + 12 + length
        if (kind == b"IHDR") != (not header) or (kind == b"IHDR" and not _is_good_header(view[position:end])):
            raise invalid("the PNG does not begin with one header")
        if kind == b"IEND" or not _LETTERS.issuperset(kind):
            break
        if kind == b"IHDR":
            header = bytes(body)
        elif kind == b"IDAT":
            pixels.append(body)
        elif kind in {b"PLTE", b"tRNS"} and not pixels and _is_whole(view[position:end]):
            colours.append(bytes(view[position:end]))
        elif kind == b"PLTE" and not pixels:
            raise invalid("the palette of the PNG is damaged")
        elif kind == b"eXIf":
            orientation = orientation_of(bytes(body))
        position = end
    else:
        raise invalid(f"the PNG has more than {MAX_PARTS} chunks")
    if not header or not pixels:
        raise invalid("the PNG has no pixels")
    width, height = struct.unpack_from(">II", header)
    packed = b"".join(pixels)
    return Png(
        width, height, orientation, decoder_bytes_of_png(width, height), header, tuple(colours), packed
    )


def _is_good_header(chunk: memoryview) -> bool:
    return len(chunk) == 25 and _is_whole(chunk)


def _is_whole(chunk: memoryview) -> bool:
    """Whether a chunk is all there and its checksum right.

    libpng, and with it most of the world, refuses a damaged header or palette, and ignores damaged
    transparency.
    """
    (length,) = struct.unpack_from(">I", chunk)
    if len(chunk) != length + 12:
        return False
    return zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return b"".join(_parts(kind, body))


def _parts(kind: bytes, body: bytes) -> tuple[bytes, ...]:
    checksum = zlib.crc32(body, zlib.crc32(kind))
    return struct.pack(">I4s", len(body), kind), body, struct.pack(">I", checksum)
