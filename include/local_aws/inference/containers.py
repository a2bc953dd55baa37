"""What the outside of a picture says, and a copy of it without its baggage.

Two things come from the outside: the true format and dimensions, so that a decompression bomb is refused from
its header; and a copy of the file without text, colour profiles, EXIF, animation frames, previews and bytes
behind the end, so that the decoder never sees the chunks that hostile files hide their bombs in. Nothing that
changes the first frame's pixels is dropped; colour profiles are not applied by the networks' training either.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Final

from local_aws.inference.errors import INVALID_FORMAT, ImageRejected

MAX_PARTS: Final = 20_000
"""A file of more parts than this is made to burn time: 15 MB in chunks of 1 kB are 15,000."""


@dataclass(frozen=True)
class Container(ABC):
    """What the outside of a picture says.

    `width` and `height` are the stored ones, in pixels, before `orientation` (EXIF, 1..8) is applied.
    `decoder_bytes` is the memory the decoder will need at most.
    """

    format: ClassVar[str]
    width: int
    height: int
    orientation: int
    decoder_bytes: int

    @abstractmethod
    def file(self) -> bytes:
        """Return the file without its baggage, as the decoder is to see it."""


def invalid(reason: str) -> ImageRejected:
    """The rejection of a file that is not a readable PNG or JPEG."""
    return ImageRejected(INVALID_FORMAT, reason)


def orientation_of(exif: bytes) -> int:
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
