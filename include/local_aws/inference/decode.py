"""Decodes a picture once, safely, to about the size the networks need."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from local_aws.inference.containers import invalid
from local_aws.inference.errors import INVALID_PARAMETER, TOO_LARGE, ImageRejected
from local_aws.inference.jpeg_file import JPEG_SIGNATURE, Jpeg, inspect_jpeg
from local_aws.inference.png_file import PNG_SIGNATURE, Png, inspect_png
from moderation.reference import limits as aws

# JPEGs are decoded at 1/2, 1/4 or 1/8 as long as the shorter side keeps this many pixels: a 1024×576
# picture at half size, which is enough for networks that look at 224 to 416 pixels a side.
_DRAFT_SIDE: Final = 280
# Other pictures are shrunk by whole factors, strip by strip, down to this.
_REDUCED_SIDE: Final = 832
_STRIP_PIXELS: Final = 400_000
_BEHIND: Final = bytes(64)

_TRANSPOSE: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What an image may be: bytes, and pixels a side; the defaults are Rekognition's for images in S3."""

    max_bytes: int = aws.IMAGE_MAX_BYTES
    min_side: int = aws.IMAGE_MIN_PIXELS
    max_side: int = aws.IMAGE_MAX_PIXELS


def check(data: bytes, limits: ImageLimits) -> Jpeg | Png:
    """Check size, format and dimensions of a picture without decoding a pixel.

    AWS answers InvalidParameterException for both ends of the dimension rule: with the usual text below 80
    pixels, with one that names the dimensions above 10,000 (both seen in real answers).

    Raises:
        ImageRejected: with the exception Rekognition answers.
    """
    if len(data) > limits.max_bytes:
        raise ImageRejected(TOO_LARGE, f"{len(data)} bytes, the maximum is {limits.max_bytes} bytes")
    container = inspect(data)
    size = f"{container.width} x {container.height}"
    if max(container.width, container.height) > limits.max_side:
        message = f"Input image dimensions {size} exceed maximum dimension size of {limits.max_side} pixels"
        raise ImageRejected(INVALID_PARAMETER, message, message=message)
    if min(container.width, container.height) < limits.min_side:
        raise ImageRejected(INVALID_PARAMETER, f"dimensions {size} are below {limits.min_side} pixels")
    return container


def inspect(data: bytes) -> Jpeg | Png:
    """Tell what kind of picture `data` is, by its content.

    Raises:
        ImageRejected: `InvalidImageFormatException` when it is neither PNG nor JPEG, is
            truncated, or is built to exhaust the decoder.
    """
    if data.startswith(PNG_SIGNATURE):
        return inspect_png(data)
    if data.startswith(JPEG_SIGNATURE):
        return inspect_jpeg(data)
    raise invalid("the file is empty" if not data else "the content is neither PNG nor JPEG")


def decode(container: Jpeg | Png) -> Image.Image:
    """Decode a checked picture to RGB: first frame, upright, transparency on white, not larger than useful.

    What is returned is made of the file's own data alone: a picture of which the decoder had to make up a
    part is refused, one that lacks nothing but its end marks is not.

    Raises:
        ImageRejected: `InvalidImageFormatException` when the pixels are damaged or incomplete.
    """
    try:
        picture = _decode_jpeg(container) if isinstance(container, Jpeg) else _decode_png(container)
    except (MemoryError, ImageRejected):
        raise
    except Exception as error:  # Pillow raises a dozen types on damaged bytes; all mean the same here
        raise invalid(f"the {container.format} cannot be decoded ({error})") from error
    turn = _TRANSPOSE.get(container.orientation)
    return picture if turn is None else picture.transpose(turn)


# Not Image.open: by a setting of the whole process it refuses sizes that Rekognition takes.
def _decode_jpeg(container: Jpeg) -> Image.Image:
    """Decode with both fillings: pixels are missing if they differ."""
    digests = set()
    for filling in (1, 0):
        with JpegImageFile(io.BytesIO(container.file(filling=filling))) as image:
            image.draft(None, (_DRAFT_SIDE, _DRAFT_SIDE))
            image.load()
            digests.add(hashlib.blake2b(image.tobytes()).digest())
            picture = _flatten(image) if filling == 0 else None
    if len(digests) > 1 or picture is None:
        raise invalid("the JPEG lacks a part of its pixels")
    return picture


def _decode_png(container: Png) -> Image.Image:
    """Decode, and count the rows where the decoder leaves a doubt: those it has no data for stay zero."""
    try:
        picture, is_certain = _read_png(container.file())
    except Exception:  # the decoder's own, of a dozen kinds; raised on unless the rows are whole all the same
        if not container.holds_every_row():
            raise
        return _read_png(container.file(behind=_BEHIND))[0]
    if not (is_certain and not container.is_interlaced) and not container.holds_every_row():
        raise invalid("the PNG lacks a part of its pixels")
    return picture


def _read_png(file: bytes) -> tuple[Image.Image, bool]:
    """The picture, and whether its last row is more than zeros."""
    with PngImageFile(io.BytesIO(file)) as image:
        image.load()
        last_row = image.crop((0, image.height - 1, image.width, image.height))
        return _flatten(image), bool(np.asarray(last_row).any())


def _flatten(image: Image.Image) -> Image.Image:
    """RGB on white, reduced by a whole factor; in strips, so that a large picture is never held twice."""
    factor = max(1, min(image.size) // _REDUCED_SIDE)
    if factor == 1 and image.mode == "RGB" and "transparency" not in image.info:
        return image.copy()
    reduced = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
    rows = max(1, _STRIP_PIXELS // image.width // factor) * factor
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        reduced.paste(_on_white(strip).reduce(factor), (0, top // factor))
    return reduced


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey: keep the high byte, which Pillow's own conversion may clip
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("LA", "RGBA", "PA") or "transparency" in image.info:
        shown = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, shown).convert("RGB")
    return image.convert("RGB")
