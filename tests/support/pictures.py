"""Pictures for tests: good ones, and one for each way to be bad."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

from PIL import Image


def picture(
    kind: str = "JPEG", size: tuple[int, int] = (100, 90), mode: str = "RGB", **options: Any
) -> bytes:
    """An image file of one colour."""
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, kind, **options)
    return buffer.getvalue()


def animated_png() -> bytes:
    frames = [Image.new("RGB", (100, 90), colour) for colour in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + ihdr + struct.pack(">I", zlib.crc32(ihdr))


def jpeg_with_long_header(extra: int) -> bytes:
    """A JPEG with that many bytes of application segments before its frame header."""
    data = picture()
    segments = b""
    while extra > 0:
        length = min(extra, 65_533)
        segments += b"\xff\xef" + struct.pack(">H", length + 2) + bytes(length)
        extra -= length
    return data[:2] + segments + data[2:]
