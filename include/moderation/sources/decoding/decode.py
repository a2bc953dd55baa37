"""Makes one image after another a small JPEG, or a whole one: the program of a decoder's process.

What is decoded came from anybody, so this happens in a process of its own with bounded memory: it gets bytes
on stdin and answers bytes on stdout. A frame is a length of four bytes, most significant first, and so many
bytes; a request is the frame ``<longest side>`` in decimal, or ``whole``, the frames of the file, and an
empty one; the answer is the frame ``ok``, ``first`` (of several in the file) or a reason, and the frame of a
JPEG, empty without one.
"""

from __future__ import annotations

import io
import math
import resource
import struct
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from importlib import import_module
from typing import IO, cast

from PIL import Image, ImageFile, ImageOps

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")
MAX_SIDE = 16_000
MAX_PIXELS = 101_000_000
"""Rekognition takes 10,000 pixels a side; a scan in another format may be a little longer."""

MEMORY_BYTES = 1_400_000_000
"""Address space of the process: enough for a progressive JPEG of 100 megapixels, not for a bomb."""

CPU_SECONDS = 20
"""Of a core, that one image may take: a progressive JPEG of 100 megapixels took 6 s. By the clock that is
longer on a busy machine, and no reason to give an image up."""

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_CHUNKS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"eXIf"}
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_BOXED = b"ftyp"
_JPEG, _END = b"\xff\xd8", b"\xff\xd9"
_QUALITY = 82
_BEST = 95
_BACKGROUND = (255, 255, 255)


OK = "ok"
FIRST = "first"
WHOLE = "whole"

_PORTION = 1 << 19
"""Bytes given to libjpeg at once: it begins before the last arrived, and at the end of each portion goes over
to its slow way, which of smaller ones takes a tenth more."""

_MOST_BYTES = 15_000_000
"""Rekognition takes 15 MB; see `reference.limits`, which this program does not import."""

Answer = tuple[str, bytes]
"""`OK`, or `FIRST`, and a JPEG, or why there is none, as a person reads it, and nothing."""


class Arriving:
    """A file whose parts are still arriving: who reads it waits for what is read, and for no more.

    :param parts: its bytes, in order.
    """

    def __init__(self, parts: Iterable[bytes]) -> None:
        self._parts = iter(parts)
        self._here = bytearray()
        self._place = 0

    def tell(self) -> int:
        """Where the next read begins."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, as in any file; from the end, all of it is waited for."""
        start = 0
        if whence != io.SEEK_SET:
            start = self._place if whence == io.SEEK_CUR else len(self.whole())
        self._place = max(0, start + offset)
        return self._place

    def read(self, size: int = -1) -> bytes:
        """So many bytes; fewer at the end alone."""
        end = len(self.whole()) if size < 0 else self._place + size
        self._wait(end)
        made = bytes(memoryview(self._here)[self._place : end])
        self._place += len(made)
        return made

    def whole(self) -> bytes:
        """All of it, wherever it is read now."""
        self._wait(math.inf)
        return bytes(self._here)

    def _wait(self, end: float) -> None:
        while len(self._here) < end and (part := next(self._parts, b"")):
            self._here += part


def shrink(file: Arriving, longest: int) -> Answer:
    """The first frame as a JPEG, upright, transparency on white, at most ``longest`` pixels a side."""
    return _bounded(file, lambda: _shrink(file, longest))


def whole(file: Arriving) -> Answer:
    """The first frame, or page, as a JPEG of 15 MB at most, upright, transparency on white."""
    return _bounded(file, lambda: _whole(file.whole()))


def _bounded(file: Arriving, make: Callable[[], Answer]) -> Answer:
    begins = _begins(file)
    if not begins:
        return "the file is empty", b""
    if begins[4:8] == _BOXED:
        _know_heif()
    # A bound of the whole process, below which Rekognition's largest images lie; ours stand below.
    Image.MAX_IMAGE_PIXELS = None
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make()
    except MemoryError:
        return "it takes more memory than one image may", b""
    except Exception:  # Pillow raises a dozen types on damaged bytes; all mean the same here
        return "the file is damaged, or no image", b""


def _begins(file: Arriving) -> bytes:
    file.seek(0)
    return file.read(len(_PNG))


@lru_cache
def _know_heif() -> None:
    """Only for who needs it: the decoder of HEIC takes longer to import than most images to decode."""
    pi_heif = import_module("pi_heif")
    pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)


def _shrink(file: Arriving, longest: int) -> Answer:
    begins = _begins(file)
    if not begins.startswith(_JPEG):
        data = file.whole()
        return _made(io.BytesIO(_pixels_of_png(data) if begins == _PNG else data), longest)
    try:
        return _made(file, longest)
    except OSError:
        data = file.whole()
    # An end mark may be all that is missing: then no pixel depends on what stands in its place.
    first, second = (_made(io.BytesIO(data + filling + _END), longest) for filling in (b"", b"\x55" * 64))
    return first if first == second else ("the file is cut off", b"")


def _whole(data: bytes) -> Answer:
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        if refused := _too_many(image):
            return refused, b""
        said = FIRST if getattr(image, "is_animated", False) else OK
        image.load()
        flat = _flat(ImageOps.exif_transpose(image) or image)
    for quality in (_BEST, _QUALITY):
        made = io.BytesIO()
        flat.save(made, "JPEG", quality=quality, subsampling=0 if quality == _BEST else -1)
        if made.tell() <= _MOST_BYTES:
            return said, made.getvalue()
    return "as a JPEG it has more than 15 MB", b""


def _too_many(image: Image.Image) -> str:
    width, height = image.size
    too_many = max(width, height) > MAX_SIDE or width * height > MAX_PIXELS
    return f"it has {width:,} × {height:,} pixels, too many to show" if too_many else ""


def _made(file: Arriving | io.BytesIO, longest: int) -> Answer:
    with Image.open(cast("IO[bytes]", file), formats=FORMATS) as image:
        if refused := _too_many(image):
            return refused, b""
        # The size that it will have: of a square, libjpeg would keep the shorter side above the longest.
        least = longest / max(image.size)
        image.draft("RGB", (math.ceil(image.width * least), math.ceil(image.height * least)))
        if image.format == "JPEG":
            image.decodermaxblock = _PORTION
        image.thumbnail((longest, longest), Image.Resampling.BILINEAR, reducing_gap=1.5)
        ImageOps.exif_transpose(image, in_place=True)
        made = io.BytesIO()
        _flat(image).save(made, "JPEG", quality=_QUALITY, optimize=False)
    return OK, made.getvalue()


def _pixels_of_png(data: bytes) -> bytes:
    """The file without texts and profiles, which may be bombs; its first frame alone."""
    kept, place = [_PNG], len(_PNG)
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        if data[place + 4 : place + 8] in _PNG_CHUNKS:
            kept.append(data[place : place + 12 + length])
        place += 12 + length
    return b"".join([*kept, _PNG_END])


def _flat(image: Image.Image) -> Image.Image:
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        clear = image.convert("RGBA")
        flat = Image.new("RGB", clear.size, _BACKGROUND)
        flat.paste(clear, mask=clear.getchannel("A"))
        return flat
    if image.mode.startswith("I") or image.mode == "F":
        # Sixteen bits a sample, which a plain conversion would cut off at 255.
        return image.convert("I").point(lambda value: value / 256).convert("L").convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def read_frame(stream: IO[bytes]) -> bytes | None:
    """The next frame; None at the end of the stream."""
    head = stream.read(4)
    if len(head) < 4:
        return None
    (length,) = struct.unpack(">I", head)
    body = stream.read(length)
    return body if len(body) == length else None


def _frames(stream: IO[bytes]) -> Iterator[bytes]:
    """The frames before an empty one, or the end of the stream."""
    while part := read_frame(stream):
        yield part


def write_frame(stream: IO[bytes], body: bytes) -> None:
    """Write a frame."""
    stream.write(struct.pack(">I", len(body)))
    stream.write(body)


def _allow(seconds: int) -> None:
    """The process is ended when it takes so much more of a core."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = math.ceil(used.ru_utime + used.ru_stime) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def serve(given: IO[bytes], answered: IO[bytes]) -> None:
    """Answer requests until the stream ends."""
    while (side := read_frame(given)) is not None:
        _allow(CPU_SECONDS)
        parts = _frames(given)
        file = Arriving(parts)
        said, made = whole(file) if side == WHOLE.encode() else shrink(file, int(side))
        for _ in parts:
            pass  # What was not needed lies before the next request.
        write_frame(answered, said.encode())
        write_frame(answered, made)
        answered.flush()


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    serve(sys.stdin.buffer, sys.stdout.buffer)
