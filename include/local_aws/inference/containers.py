"""Reads the outside of PNG and JPEG files without decoding a pixel.

Two things come from it: the true format and dimensions, so that a decompression bomb is refused from its
header; and a copy of the file without its baggage (text, colour profiles, EXIF, animation frames, previews,
bytes behind the end), so that the decoder never sees the chunks that hostile files hide their bombs in.
Nothing that changes the first frame's pixels is dropped; colour profiles are not applied by the networks'
training either.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Final, Literal

from local_aws.inference.errors import INVALID_FORMAT, ImageRejected

PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE: Final = b"\xff\xd8\xff"

# A file of more parts than this is made to burn time: 15 MB in chunks of 1 kB are 15,000.
_MAX_PARTS: Final = 20_000
# Each progressive scan passes over the whole picture again. Encoders write about ten.
_MAX_SCANS: Final = 100
_MAX_SCANNED_PIXELS: Final = 2_500_000_000

_PNG_PIXEL_CHUNKS: Final = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
JPEG_PROGRESSIVE: Final = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_JPEG_EOI: Final = 0xD9
JPEG_SOS: Final = 0xDA
# APP0 (JFIF) and APP14 (Adobe) say how the components become colours; the other APPn and comments do not.
_JPEG_BAGGAGE: Final = frozenset(range(0xE1, 0xF0)) - {0xEE} | {0xFE}
# In entropy-coded data 0xFF is followed by a stuffed zero or a restart marker; anything else is a marker.
_JPEG_NEXT_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


@dataclass(frozen=True, slots=True)
class Container:
    """What the outside of a picture says.

    `width` and `height` are the stored ones, in pixels, before `orientation` (EXIF, 1..8) is applied.
    `data` is the file without its baggage. `decoder_bytes` is the memory the decoder will need at most.
    """

    format: Literal["PNG", "JPEG"]
    width: int
    height: int
    orientation: int
    data: bytes
    decoder_bytes: int


def decoder_bytes_of_png(width: int, height: int) -> int:
    """The memory that decoding a PNG takes at most."""
    return 4 * width * height


def decoder_bytes_of_jpeg(width: int, height: int, components: int, *, collected: bool) -> int:
    """The memory that decoding a JPEG takes at most.

    :param collected: whether it has several scans; then it is collected whole, in 16-bit numbers. Others are
        reduced while they are read.
    """
    return 2 * components * width * height if collected else width * height // 4


def inspect(data: bytes) -> Container:
    """Tell what kind of picture `data` is, by its content.

    Raises:
        ImageRejected: `InvalidImageFormatException` when it is neither PNG nor JPEG, is
            truncated, or is built to exhaust the decoder.
    """
    if data.startswith(PNG_SIGNATURE):
        return _inspect_png(data)
    if data.startswith(JPEG_SIGNATURE):
        return _inspect_jpeg(data)
    raise invalid("the file is empty" if not data else "the content is neither PNG nor JPEG")


def invalid(reason: str) -> ImageRejected:
    """The rejection of a file that is not a readable PNG or JPEG."""
    return ImageRejected(INVALID_FORMAT, reason)


def _inspect_png(data: bytes) -> Container:
    position, orientation, seen = len(PNG_SIGNATURE), 1, set[bytes]()
    view = memoryview(data)
    kept = [view[:position]]
    for _ in range(_MAX_PARTS):
        if position + 12 > len(data):
            raise invalid("the PNG is truncated")
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise invalid("the PNG is truncated")
        if (kind == b"IHDR") != (not seen) or (kind == b"IHDR" and length != 13):
            raise invalid("the PNG does not begin with one header")
        seen.add(kind)
        if kind in _PNG_PIXEL_CHUNKS:
            kept.append(view[position:end])
        elif kind == b"eXIf":
            orientation = _orientation(data[position + 8 : end - 4])
        position = end
        if kind == b"IEND":
            break
    else:
        raise invalid(f"the PNG has more than {_MAX_PARTS} chunks")
    width, height = struct.unpack_from(">II", data, 16)
    return Container("PNG", width, height, orientation, b"".join(kept), decoder_bytes_of_png(width, height))


def _inspect_jpeg(data: bytes) -> Container:
    position, orientation, kept = 2, 1, [memoryview(data)[:2]]
    frame: tuple[int, int, int, int] | None = None
    for _ in range(_MAX_PARTS):
        marker, start, end = _jpeg_segment(data, position)
        if marker in JPEG_FRAMES:
            if frame or end - start < 8:
                raise invalid("the JPEG has no single frame header")
            height, width, components = struct.unpack_from(">HHB", data, start + 3)
            frame = (marker, width, height, components)
        elif marker == 0xE1 and data.startswith(b"Exif\x00\x00", start + 2) and orientation == 1:
            orientation = _orientation(data[start + 8 : end])
        elif marker == JPEG_SOS:
            break
        if marker not in _JPEG_BAGGAGE:
            kept.append(memoryview(data)[position:end])
        position = end
    else:
        raise invalid(f"the JPEG has more than {_MAX_PARTS} segments")
    if frame is None:
        raise invalid("the JPEG has no frame header")
    kind, width, height, components = frame
    kept.append(memoryview(data)[position : _jpeg_end(data, position, width * height)])
    collected = kind in JPEG_PROGRESSIVE or data[position + 4] < components
    decoder_bytes = decoder_bytes_of_jpeg(width, height, components, collected=collected)
    return Container("JPEG", width, height, orientation, b"".join(kept), decoder_bytes)


def _jpeg_segment(data: bytes, position: int) -> tuple[int, int, int]:
    """Marker, start of the length field and end of the segment at `position`."""
    while data[position : position + 2] == b"\xff\xff":  # fill bytes are allowed before a marker
        position += 1
    if position + 4 > len(data):
        raise invalid("the JPEG is truncated")
    marker, length = struct.unpack_from(">xBH", data, position)
    end = position + 2 + length
    least = 3 if marker == JPEG_SOS else 2
    if data[position] != 0xFF or marker < 0xC0 or 0xD0 <= marker <= _JPEG_EOI or length < least:
        raise invalid("the JPEG has a damaged segment")
    if end > len(data):
        raise invalid("the JPEG is truncated")
    return marker, position + 2, end


def _jpeg_end(data: bytes, position: int, pixels: int) -> int:
    """Where the picture whose first scan is at `position` ends, after counting its scans."""
    scans = 0
    for _ in range(_MAX_PARTS):
        marker, _, position = _jpeg_segment(data, position)
        scans += marker == JPEG_SOS
        if scans > _MAX_SCANS or scans * pixels > _MAX_SCANNED_PIXELS:
            raise invalid(f"the JPEG passes over its pixels {scans} times or more")
        if marker == JPEG_SOS:
            found = _JPEG_NEXT_MARKER.search(data, position)
            if not found:
                break
            position = found.start()
        if data[position + 1 : position + 2] == bytes([_JPEG_EOI]):
            return position + 2
    raise invalid("the JPEG is truncated")


def _orientation(exif: bytes) -> int:
    """The orientation (1..8) in the first directory of a TIFF block; 1 when the block is damaged.

    Only this directory is read and no offset but its own is followed, so that directories which point at one
    another cannot hold the reader.
    """
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(exif[:4])
    if order is None:
        return 1
    try:
        (offset,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, offset)
        for index in range(count):
            tag, kind, items, value = struct.unpack_from(f"{order}HHIH", exif, offset + 2 + 12 * index)
            if tag == 0x0112:
                return value if (kind, items) == (3, 1) and 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1
