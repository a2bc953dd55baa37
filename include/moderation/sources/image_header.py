"""Would Rekognition take this picture? Judged from the file's size and header alone, before any call is paid.

Only what AWS's published limits certainly refuse is rejected: another format than PNG or JPEG, more than
15 MB, a side outside 80..10,000 pixels. A picture cut off in its body has a good header and is sent: the
service's own answer becomes its row.

The two headers are read here rather than by an imaging library for two reasons. A library refuses pictures
that the service may take (12-bit JPEG, PNG with megabytes of text), and one skipped without need is a gap in
moderation. And it cannot tell a broken header from one that goes on beyond the bytes read so far.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from moderation.errors import NeedsAPersonError
from moderation.reference import error_codes, limits

HEAD_BYTES = 64 * 1024
"""What is read at first; enough for the header of nearly all pictures."""

SNIFF_BYTES = 512
"""Enough to know what a file is."""

_GROWTH = 4
_MAX_JPEG_SEGMENTS = 100_000
"""More segments before the frame than any camera writes; a file of empty ones would cost seconds."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_SIGNATURE = b"\xff\xd8\xff"
_IHDR_END = 33

_STANDALONE = {0x01, *range(0xD0, 0xD8)}
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9

_OTHER_IMAGES = (
    (0, b"GIF8", "GIF"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (8, b"WEBP", "WebP"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypavis", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftyphev", "HEIC"),
    (4, b"ftypmif1", "HEIF"),
    (4, b"ftypmsf1", "HEIF"),
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
)
TRANSCODED = {
    "WebP": "frame",
    "GIF": "frame",
    "TIFF": "page",
    "BMP": "frame",
    "AVIF": "frame",
    "HEIC": "image",
    "HEIF": "image",
}
"""Formats that can be brought as JPEG, and what of several is taken the first; of HEIC the main one."""

_OTHER_FILES = ((0, b"%PDF", "PDF"), (0, b"PK\x03\x04", "ZIP"), (0, b"\x1f\x8b", "GZIP"))
_BMP_HEADERS = frozenset(size.to_bytes(4, "little") for size in (12, 16, 40, 52, 56, 64, 108, 124))
"""Sizes of what follows a BMP's file header; its two letters alone begin many a text."""


class Rejection(NamedTuple):
    """Why a picture is not sent: an error code of :mod:`moderation.reference.error_codes` and a sentence."""

    code: str
    message: str


class Dimensions(NamedTuple):
    """Width and height in pixels."""

    width: int
    height: int


class HeaderError(NeedsAPersonError, ValueError):
    """The bytes are no header of a PNG or JPEG picture."""


def check_size(size: int) -> Rejection | None:
    """The verdict on the file's size in bytes alone."""
    if size == 0:
        return Rejection(error_codes.EMPTY_FILE, "The file is empty.")
    if size > limits.IMAGE_MAX_BYTES:
        return Rejection(
            error_codes.IMAGE_TOO_LARGE, f"The file has {size:,} bytes; at most 15 MB are taken."
        )
    return None


def check_image(size: int, read: Callable[[int, int], bytes]) -> Rejection | None:
    """None when nothing speaks against sending the picture.

    :param size: of the whole file in bytes.
    :param read: ``read(offset, length)`` gives these bytes of the file, fewer at its end. Called first for
        64 KB, then for growing pieces while the header goes on.
    """
    if refused := check_size(size):
        return refused
    head = b""
    try:
        while True:
            length = min(HEAD_BYTES if not head else len(head) * (_GROWTH - 1), size - len(head))
            more = read(len(head), length) if length > 0 else b""
            if not more:
                return Rejection(error_codes.INVALID_IMAGE_FORMAT, "The file ends inside its header.")
            head += more
            if found := dimensions(head):
                return _check_dimensions(found)
    except HeaderError as error:
        return Rejection(error_codes.INVALID_IMAGE_FORMAT, str(error))


def check_bytes(data: bytes) -> Rejection | None:
    """:func:`check_image` for a file that is in memory."""
    return check_image(len(data), lambda offset, length: data[offset : offset + length])


def dimensions(head: bytes) -> Dimensions | None:
    """Width and height from the first bytes of a file; None when more bytes are needed to tell.

    :raises HeaderError: these bytes begin no PNG and no JPEG picture; the text says what they are.
    """
    if head.startswith(_PNG_SIGNATURE):
        return _png_dimensions(head)
    if head.startswith(_JPEG_SIGNATURE):
        return _jpeg_dimensions(head)
    if head and (_PNG_SIGNATURE.startswith(head) or _JPEG_SIGNATURE.startswith(head)):
        return None
    raise HeaderError(not_taken(content(head)))


def not_taken(kind: str) -> str:
    """Why an image of this format is not sent."""
    return f"The content is {kind}; only PNG and JPEG are taken."


def transcoded_kind(code: str | None, message: str | None) -> str:
    """The format of an image that was refused for it, if it can be transcoded; else ""."""
    if code != error_codes.INVALID_IMAGE_FORMAT:
        return ""
    return next((kind for kind in TRANSCODED if message == not_taken(kind)), "")


def is_image(head: bytes) -> bool:
    """Whether these first bytes are an image's, of whatever format."""
    return head.startswith((_PNG_SIGNATURE, _JPEG_SIGNATURE)) or _image_format(head) is not None


def content(head: bytes) -> str:
    """What these first bytes are, as "The content is …" goes on; for what is neither PNG nor JPEG."""
    if known := _image_format(head) or _format(head, _OTHER_FILES):
        return known
    sample = head[:SNIFF_BYTES]
    if all(byte >= 0x20 or byte in b"\t\r\n\f" for byte in sample):
        return "text"
    return "of no known image format"


def media_type(head: bytes) -> str:
    """The media type by content, for files that passed the check or can be transcoded."""
    if head.startswith(_PNG_SIGNATURE):
        return "image/png"
    kind = _image_format(head)
    return f"image/{kind.lower()}" if kind in TRANSCODED else "image/jpeg"


def _check_dimensions(found: Dimensions) -> Rejection | None:
    low, high = limits.IMAGE_MIN_PIXELS, limits.IMAGE_MAX_PIXELS
    if all(low <= side <= high for side in found):
        return None
    return Rejection(
        error_codes.INVALID_PARAMETER,
        f"The image has {found.width} x {found.height} pixels; each side must have {low} to {high}.",
    )


def _png_dimensions(head: bytes) -> Dimensions | None:
    """The first chunk of a PNG is IHDR, which begins with width and height (PNG specification, 11.2.2)."""
    if len(head) < _IHDR_END:
        return None
    length, name, width, height = struct.unpack_from(">I4sII", head, len(_PNG_SIGNATURE))
    if length != 13 or name != b"IHDR":
        raise HeaderError("The PNG does not begin with an IHDR chunk.")
    if width == 0 or height == 0:
        raise HeaderError("The PNG says that it has no pixels.")
    return Dimensions(width, height)


def _jpeg_dimensions(head: bytes) -> Dimensions | None:
    """Walk the segments of a JPEG up to its frame header (ITU T.81, B.1 and B.2.2)."""
    position = 2
    for _ in range(_MAX_JPEG_SEGMENTS):
        position = head.find(b"\xff", position)  # decoders skip stray bytes between segments, so do we
        while 0 <= position < len(head) and head[position] == 0xFF:
            position += 1
        if position < 0 or position + 8 > len(head):
            return None
        marker = head[position]
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", head, position + 4)
            if width == 0 or height == 0:
                raise HeaderError("The JPEG says that it has no pixels.")
            return Dimensions(width, height)
        if marker in {_START_OF_SCAN, _END_OF_IMAGE}:
            raise HeaderError("The JPEG has no frame header before its data.")
        position += 1
        if marker not in _STANDALONE and marker != 0x00:
            (length,) = struct.unpack_from(">H", head, position)
            if length < 2:
                raise HeaderError("The JPEG has a segment of impossible length.")
            position += length
    raise HeaderError(f"The JPEG has more than {_MAX_JPEG_SEGMENTS} segments before its frame header.")


def _image_format(head: bytes) -> str | None:
    """The format of an image that is neither PNG nor JPEG."""
    if head.startswith(b"BM") and head[14:18] in _BMP_HEADERS:
        return "BMP"
    return _format(head, _OTHER_IMAGES)


def _format(head: bytes, formats: tuple[tuple[int, bytes, str], ...]) -> str | None:
    return next((name for offset, magic, name in formats if head.startswith(magic, offset)), None)
