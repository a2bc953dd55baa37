"""How much work a picture will make, told from its first bytes, before its turn to be decoded comes."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Final

from local_aws.inference.jpeg_file import (
    JPEG_FRAMES,
    JPEG_PROGRESSIVE,
    JPEG_SIGNATURE,
    JPEG_SOS,
    decoder_bytes_of_jpeg,
)
from local_aws.inference.png_file import PNG_SIGNATURE, decoder_bytes_of_png

HEAD_BYTES: Final = 256 * 1024
"""Enough to find the dimensions of nearly every picture; one whose own lie behind that counts as huge."""

HEAVY_BYTES: Final = 150_000_000
"""A picture that takes more memory to decode (a PNG of 38 megapixels, say) is worked on alone: one of
10,000×10,000 takes 400 MB, and the process is to stay under 700 MB."""

_NETWORKS_WORK: Final = 3_000_000
"""What the networks cost for any picture, in pixels of a PNG that are decoded in the same time."""
_COPY_WORK: Final = 650_000
"""What one changed copy of a picture costs, in the same unit."""
_UNKNOWN_PIXELS: Final = 100_000_000


@dataclass(frozen=True)
class Effort:
    """The work one picture makes.

    :param work: pixels to decode, plus what the networks cost in the same unit.
    :param alone: whether nothing else may be decoded meanwhile.
    """

    work: int
    alone: bool = False

    @property
    def size_class(self) -> str:
        """Pictures of one class make the same work within a factor of two."""
        return f"{self.work.bit_length()}{'!' if self.alone else ''}"


LIGHT: Final = Effort(1)


def weigh(head: bytes, *, copies: int = 0, looked_at: int | None = None) -> Effort:
    """Weigh a picture; anything that is none is light, since it is refused at once.

    :param head: its first bytes, :data:`HEAD_BYTES` where there are so many.
    :param copies: changed copies of it that are looked at, too.
    :param looked_at: how many of them, and with them the picture itself, were looked at before.
    """
    effort = _weigh(head)
    if looked_at is None:
        return replace(effort, work=effort.work + copies * _COPY_WORK)
    return replace(effort, work=max(1, effort.work - _NETWORKS_WORK) + (copies - looked_at) * _COPY_WORK)


def _weigh(head: bytes) -> Effort:
    if head.startswith(PNG_SIGNATURE) and len(head) >= 24:
        width, height = struct.unpack_from(">II", head, 16)
        return _effort(width * height, decoder_bytes_of_png(width, height))
    if head.startswith(JPEG_SIGNATURE):
        return _weigh_jpeg(head)
    return LIGHT


def _weigh_jpeg(head: bytes) -> Effort:
    position = 2
    frame: tuple[int, int, int, int] | None = None
    while (position := head.find(b"\xff", position)) >= 0 and position + 10 <= len(head):
        marker, length = struct.unpack_from(">xBH", head, position)
        if marker in {0xFF, 0x00}:
            position += 1
            continue
        if marker in JPEG_FRAMES and frame is None:
            height, width, components = struct.unpack_from(">HHB", head, position + 5)
            frame = (marker, width, height, components)
        if marker == JPEG_SOS and frame is not None:
            kind, width, height, components = frame
            collected = kind in JPEG_PROGRESSIVE or head[position + 4] < components
            return _effort(
                width * height, decoder_bytes_of_jpeg(width, height, components, collected=collected)
            )
        position += 2 + length
    if frame is None:
        return Effort(_NETWORKS_WORK + _UNKNOWN_PIXELS) if len(head) >= HEAD_BYTES else LIGHT
    _, width, height, components = frame
    return _effort(width * height, decoder_bytes_of_jpeg(width, height, components, collected=True))


def _effort(pixels: int, decoder_bytes: int) -> Effort:
    return Effort(_NETWORKS_WORK + min(pixels, _UNKNOWN_PIXELS), alone=decoder_bytes > HEAVY_BYTES)
