"""Pictures for tests: ordinary ones, and every hostile one a public upload form meets.

All are made from a seed when asked for, so that no binary stands in the repository, and cached, because
the same few are used by many tests. `HOSTILE` and `GOOD` map a name to its maker for parametrised tests;
the expected error of a hostile picture is the Rekognition exception the offline endpoint answers with.
"""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from PIL import Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
FORMAT = "InvalidImageFormatException"
DIMENSIONS = "InvalidParameterException"
SIZE = "ImageTooLargeException"


def noise(width: int, height: int, mode: str = "RGB", seed: int = 7) -> Image.Image:
    """Seeded noise blown up from a small grid, so that it has shapes and compresses a little."""
    small = (max(1, width // 16), max(1, height // 16))
    channels = len(Image.new(mode, (1, 1)).getbands())
    grid = Image.frombytes(mode, small, random.Random(seed).randbytes(small[0] * small[1] * channels))
    return grid.resize((width, height), Image.Resampling.BILINEAR if mode != "P" else None)


def encode(image: Image.Image, image_format: str, **options: object) -> bytes:
    """The bytes of `image` in a Pillow format."""
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def picture(
    kind: str = "JPEG", size: tuple[int, int] = (100, 90), mode: str = "RGB", **options: object
) -> bytes:
    """An image file of one colour in any Pillow format and mode."""
    return encode(Image.new(mode, size), kind, **options)


@lru_cache
def jpeg(width: int = 320, height: int = 240, seed: int = 7) -> bytes:
    """An ordinary colour JPEG."""
    return encode(noise(width, height, seed=seed), "JPEG", quality=85)


@lru_cache
def png(width: int = 320, height: int = 240, mode: str = "RGB", seed: int = 7) -> bytes:
    """An ordinary PNG of any Pillow mode that PNG can hold."""
    return encode(noise(width, height, mode, seed), "PNG")


def chunk(kind: bytes, body: bytes) -> bytes:
    """One PNG chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width: int, height: int, *, depth: int = 8, colour: int = 2, interlace: int = 0) -> bytes:
    """PNG signature and IHDR; `colour` 0 grey, 2 RGB, 3 palette, 4 grey+alpha, 6 RGBA."""
    return PNG_SIGNATURE + chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    )


def blank_png(width: int, height: int, *, depth: int = 8, colour: int = 2, extra: bytes = b"") -> bytes:
    """A valid all-zero PNG of any size, compressed row by row so that making it takes no memory."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = bytes(1 + (width * channels * depth + 7) // 8)
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return png_header(width, height, depth=depth, colour=colour) + extra + chunk(b"IDAT", body) + end_png()


def end_png() -> bytes:
    """The closing chunk."""
    return chunk(b"IEND", b"")


def with_chunk(data: bytes, kind: bytes, body: bytes) -> bytes:
    """`data` with one more chunk straight after IHDR."""
    after_header = len(PNG_SIGNATURE) + 25
    return data[:after_header] + chunk(kind, body) + data[after_header:]


def with_segment(data: bytes, marker: int, body: bytes, times: int = 1) -> bytes:
    """JPEG `data` with application segments (0xE0..0xEF) or comments (0xFE) straight after SOI."""
    segment = bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body
    return data[:2] + segment * times + data[2:]


@lru_cache
def cmyk() -> bytes:
    """A CMYK JPEG, as print shops upload them."""
    return encode(noise(320, 240, "CMYK"), "JPEG")


@lru_cache
def grey_jpeg() -> bytes:
    """A one-channel JPEG."""
    return encode(noise(320, 240, "L"), "JPEG")


@lru_cache
def progressive_jpeg() -> bytes:
    """A progressive JPEG."""
    return encode(noise(320, 240), "JPEG", progressive=True)


@lru_cache
def sixteen_bit() -> bytes:
    """A 16-bit grey PNG whose brightness runs from black to white left to right."""
    ramp = b"".join(struct.pack("<H", x * 65535 // 319) for x in range(320))
    return encode(Image.frombytes("I;16", (320, 240), ramp * 240), "PNG")


@lru_cache
def sixteen_bit_rgba() -> bytes:
    """A 16-bit RGBA PNG, fully transparent, which therefore shows as white."""
    return blank_png(320, 240, depth=16, colour=6)


@lru_cache
def grey_alpha() -> bytes:
    """An 8-bit grey PNG with alpha."""
    return png(mode="LA")


@lru_cache
def transparent_png() -> bytes:
    """A red square on fully transparent black: shown on white, as any viewer does."""
    image = Image.new("RGBA", (320, 240), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (100, 60, 220, 180))
    return encode(image, "PNG")


@lru_cache
def palette() -> bytes:
    """A 256-colour PNG whose palette marks one entry transparent."""
    image = noise(320, 240).quantize(64)
    image.info["transparency"] = 3
    return encode(image, "PNG", transparency=3)


@lru_cache
def one_bit() -> bytes:
    """A black and white PNG of one bit a pixel."""
    return encode(noise(320, 240, "L").convert("1"), "PNG")


@lru_cache
def animated_png() -> bytes:
    """An APNG of three frames: red, green, blue."""
    frames = [Image.new("RGB", (160, 120), colour) for colour in ("red", "green", "blue")]
    return encode(frames[0], "PNG", save_all=True, append_images=frames[1:], duration=100)


@lru_cache
def rotated_jpeg() -> bytes:
    """Left half red, right half blue as stored, with EXIF orientation 6: shown, red is on top."""
    image = Image.new("RGB", (320, 160), "blue")
    image.paste((255, 0, 0), (0, 0, 160, 160))
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(image, "JPEG", quality=95, exif=exif)


@lru_cache
def lying_exif() -> bytes:
    """A good JPEG whose EXIF block is rubbish: the picture counts, the block is ignored."""
    return with_segment(jpeg(), 0xE1, b"Exif\x00\x00" + b"II*\x00" + b"\xff" * 400)


@lru_cache
def deep_exif() -> bytes:
    """A good JPEG whose EXIF directories point at one another for ever."""
    entry = struct.pack("<HHII", 0x8769, 4, 1, 8)  # the EXIF sub-directory starts where this one does
    directory = struct.pack("<H", 1000) + entry * 1000 + struct.pack("<I", 8)
    return with_segment(jpeg(), 0xE1, b"Exif\x00\x00II*\x00" + struct.pack("<I", 8) + directory)


@lru_cache
def huge_icc() -> bytes:
    """A good JPEG carrying 8 MB of colour profile in 128 segments."""
    body = b"ICC_PROFILE\x00\x01\x80" + bytes(65_000)
    return with_segment(jpeg(), 0xE2, body, times=128)


def jpeg_with_long_header(extra: int) -> bytes:
    """A JPEG with that many bytes of application segments before its frame header."""
    whole, rest = divmod(extra, 65_533)
    return with_segment(with_segment(picture(), 0xEF, bytes(rest)), 0xEF, bytes(65_533), times=whole)


@lru_cache
def trailing_bytes() -> bytes:
    """A good JPEG with a zip file's worth of other bytes behind its end."""
    return jpeg() + b"PK\x03\x04" + random.Random(1).randbytes(50_000)


@lru_cache
def smallest() -> bytes:
    """80×80: the least AWS takes."""
    return jpeg(80, 80)


@lru_cache
def longest() -> bytes:
    """10,000×80: the longest side AWS takes."""
    return jpeg(10_000, 80)


@lru_cache
def short_png() -> bytes:
    """A PNG, whole by its structure, that holds half the rows its header promises: the rest shows black."""
    rows = zlib.compress(bytes(1 + 320 * 3) * 120)
    return png_header(320, 240) + chunk(b"IDAT", rows) + end_png()


@lru_cache
def hundred_megapixels() -> bytes:
    """10,000×10,000 grey JPEG of about 1 MB: the largest picture AWS takes."""
    return encode(Image.new("L", (10_000, 10_000), 128), "JPEG", quality=50)


@lru_cache
def hundred_megapixel_png() -> bytes:
    """10,000×10,000 RGB PNG of about 300 kB."""
    return blank_png(10_000, 10_000)


@lru_cache
def interlaced_png(width: int = 320, height: int = 240) -> bytes:
    """A PNG whose rows come in the seven passes of Adam7."""
    image = noise(width, height)
    passes = (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    )
    rows = [
        b"\0" + b"".join(bytes(image.getpixel((x, y))) for x in range(left, width, across))  # type: ignore[arg-type]
        for left, top, across, down in passes
        for y in range(top, height, down)
    ]
    body = chunk(b"IDAT", zlib.compress(b"".join(rows)))
    return png_header(width, height, interlace=1) + body + end_png()


def no_end_png() -> bytes:
    """A PNG that lacks its last chunk, and nothing else."""
    return png()[:-12]


def no_end_jpeg() -> bytes:
    """A JPEG that lacks its end marker, and nothing else."""
    return jpeg()[:-2]


@lru_cache
def restarting_jpeg(width: int = 320, height: int = 240) -> bytes:
    """A JPEG with a restart marker behind each four blocks."""
    return encode(noise(width, height), "JPEG", restart_marker_blocks=4)


def zero_byte() -> bytes:
    """An empty file."""
    return b""


def text_named_jpg() -> bytes:
    """A text that somebody named .jpg."""
    return b"This is not a picture, whatever its name says.\n" * 20


@lru_cache
def truncated_jpeg() -> bytes:
    """The first half of a JPEG, as an upload that broke off leaves it."""
    data = jpeg()
    return data[: len(data) // 2]


@lru_cache
def truncated_png() -> bytes:
    """The first half of a PNG."""
    data = png()
    return data[: len(data) // 2]


def header_only_jpeg() -> bytes:
    """The three first bytes of a JPEG and nothing else."""
    return b"\xff\xd8\xff"


def header_only_png() -> bytes:
    """Signature and IHDR, no picture."""
    return png_header(320, 240)


@lru_cache
def corrupt_png() -> bytes:
    """A PNG with a flipped bit in its compressed data, so that the checksum is wrong."""
    data = bytearray(png())
    data[data.index(b"IDAT") + 200] ^= 0x10
    return bytes(data)


@lru_cache
def webp() -> bytes:
    """A WebP: common on the web, refused by AWS."""
    return encode(noise(320, 240), "WEBP")


@lru_cache
def gif() -> bytes:
    """A GIF."""
    return encode(noise(320, 240), "GIF")


@lru_cache
def bmp() -> bytes:
    """A BMP."""
    return encode(noise(320, 240), "BMP")


@lru_cache
def forty_px() -> bytes:
    """40×40: below AWS's 80 px a side."""
    return jpeg(40, 40)


@lru_cache
def too_narrow() -> bytes:
    """79×400: one pixel short on one side only."""
    return png(79, 400)


@lru_cache
def too_long() -> bytes:
    """10,001×80: one pixel over."""
    return jpeg(10_001, 80)


@lru_cache
def sixteen_megabyte() -> bytes:
    """A valid PNG of noise a little over 16,000,000 bytes: over AWS's 15 MB."""
    image = Image.frombytes("RGB", (2400, 2400), random.Random(3).randbytes(2400 * 2400 * 3))
    return encode(image, "PNG", compress_level=0)


@lru_cache
def bomb_600mp() -> bytes:
    """30,000×20,000 black and white in 75 kB: 1.8 GB when decoded to RGB without looking first."""
    return blank_png(30_000, 20_000, depth=1, colour=0)


def lying_header() -> bytes:
    """A PNG that claims 4,294,967,295 pixels a side and holds ten bytes."""
    return png_header(0xFFFFFFFF, 0xFFFFFFFF) + chunk(b"IDAT", zlib.compress(b"0123456789")) + end_png()


def zero_dimension() -> bytes:
    """A PNG of no width."""
    return png_header(0, 240) + chunk(b"IDAT", zlib.compress(b"\0" * 240)) + end_png()


@lru_cache
def text_bomb() -> bytes:
    """A small PNG whose compressed text chunks would fill 3 GB."""
    body = b"Comment\x00\x00" + zlib.compress(bytes(100_000_000), 9)
    data = png(160, 120)
    for _ in range(30):
        data = with_chunk(data, b"zTXt", body)
    return data


@lru_cache
def icc_bomb() -> bytes:
    """A small PNG whose compressed colour profile would fill 200 MB."""
    return with_chunk(png(160, 120), b"iCCP", b"icc\x00\x00" + zlib.compress(bytes(200_000_000), 9))


@lru_cache
def scan_bomb() -> bytes:
    """A progressive JPEG that paints the same picture in 3,000 scans: seconds of work in a small file."""
    data = encode(Image.new("RGB", (1600, 1200), "teal"), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    scan = data[last:-2]
    return data[:-2] + scan * 3000 + data[-2:]


Maker = Callable[[], bytes]


class Hostile(NamedTuple):
    """A picture to refuse and the Rekognition exception that says why."""

    make: Maker
    error: str


def _named(*makers: Maker) -> dict[str, Maker]:
    return {maker.__name__: maker for maker in makers}


_REFUSED: dict[str, dict[str, Maker]] = {
    FORMAT: _named(
        zero_byte, text_named_jpg, truncated_jpeg, truncated_png, header_only_jpeg, header_only_png,
        corrupt_png, short_png, webp, gif, bmp, scan_bomb,
    ),
    DIMENSIONS: _named(forty_px, too_narrow, too_long, bomb_600mp, lying_header, zero_dimension),
    SIZE: _named(sixteen_megabyte),
}  # fmt: skip

HOSTILE: dict[str, Hostile] = {
    name: Hostile(make, error) for error, makers in _REFUSED.items() for name, make in makers.items()
}

# Text and profile bombs are good pictures with hostile baggage: their pixels are judged, their baggage
# is never unpacked.
GOOD: dict[str, Maker] = _named(
    jpeg, png, cmyk, grey_jpeg, progressive_jpeg, sixteen_bit, sixteen_bit_rgba, grey_alpha, transparent_png,
    palette, one_bit, animated_png, rotated_jpeg, lying_exif, deep_exif, huge_icc, trailing_bytes,
    interlaced_png, no_end_png, no_end_jpeg, restarting_jpeg,
    smallest, longest, text_bomb, icc_bomb,
)  # fmt: skip
