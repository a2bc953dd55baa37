"""Decoding: what the networks are shown, and that nothing hostile reaches the decoder."""

from __future__ import annotations

import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from local_aws.inference.decode import ImageLimits, check, decode, inspect
from local_aws.inference.errors import INVALID_FORMAT, ImageRejected
from support import pictures


def shown(data: bytes) -> Image.Image:
    return decode(check(data, ImageLimits()))


def mean(image: Image.Image, box: tuple[int, int, int, int] | None = None) -> list[int]:
    pixels = np.asarray(image.crop(box) if box else image)
    return [round(channel) for channel in pixels.reshape(-1, 3).mean(axis=0)]


@pytest.mark.parametrize("name", pictures.GOOD)
def test_every_picture_becomes_rgb(name: str) -> None:
    assert shown(pictures.GOOD[name]()).mode == "RGB"


@pytest.mark.parametrize("name", ["jpeg", "grey_jpeg", "progressive_jpeg", "cmyk"])
def test_jpegs_are_decoded_at_a_fraction_of_their_size(name: str) -> None:
    large = pictures.encode(pictures.noise(3000, 2400, "CMYK" if name == "cmyk" else "RGB"), "JPEG")
    assert shown(large).size == (375, 300)
    assert shown(pictures.GOOD[name]()).size == (320, 240)


def test_transparent_pixels_show_white() -> None:
    image = shown(pictures.transparent_png())
    assert image.getpixel((0, 0)) == (255, 255, 255)
    assert image.getpixel((160, 120)) == (255, 0, 0)
    assert mean(shown(pictures.sixteen_bit_rgba())) == [255, 255, 255]


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1"])
def test_a_colour_named_transparent_shows_white(mode: str) -> None:
    image = Image.new(mode, (100, 100), 0)
    transparent = (0, 0, 0) if mode == "RGB" else 0
    assert mean(shown(pictures.encode(image, "PNG", transparency=transparent))) == [255, 255, 255]


def test_sixteen_bits_keep_their_brightness() -> None:
    image = shown(pictures.sixteen_bit())
    for x in (0, 80, 160, 240, 319):
        assert image.getpixel((x, 100)) == (x * 65535 // 319 >> 8,) * 3


def test_cmyk_keeps_its_colours() -> None:
    red = pictures.encode(Image.new("RGB", (100, 100), (200, 30, 30)).convert("CMYK"), "JPEG", quality=95)
    assert mean(shown(red)) == pytest.approx([200, 30, 30], abs=6)


def test_an_animation_shows_its_first_frame() -> None:
    assert mean(shown(pictures.animated_png())) == [255, 0, 0]


@pytest.mark.parametrize(
    ("orientation", "red_side"),
    [
        (1, "left"),
        (2, "right"),
        (3, "right"),
        (4, "left"),
        (5, "top"),
        (6, "top"),
        (7, "bottom"),
        (8, "bottom"),
    ],
)
@pytest.mark.parametrize("image_format", ["JPEG", "PNG"])
def test_pictures_are_shown_upright(orientation: int, red_side: str, image_format: str) -> None:
    stored = Image.new("RGB", (320, 160), "blue")
    stored.paste((255, 0, 0), (0, 0, 160, 160))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = shown(pictures.encode(stored, image_format, exif=exif))
    width, height = image.size
    assert (width, height) == ((320, 160) if orientation < 5 else (160, 320))
    box = {
        "left": (0, 0, width // 3, height),
        "right": (width - width // 3, 0, width, height),
        "top": (0, 0, width, height // 3),
        "bottom": (0, height - height // 3, width, height),
    }[red_side]
    assert mean(image, box) == pytest.approx([255, 0, 0], abs=3)


@pytest.mark.slow
def test_shrinking_in_strips_equals_shrinking_at_once() -> None:
    image = pictures.noise(2600, 1900)
    assert shown(pictures.encode(image, "PNG")).tobytes() == image.reduce(2).tobytes()


def test_baggage_is_never_handed_to_the_decoder() -> None:
    assert len(inspect(pictures.text_bomb()).file()) < 100_000
    assert len(inspect(pictures.icc_bomb()).file()) < 100_000
    assert inspect(pictures.huge_icc()).file() == inspect(pictures.jpeg()).file()
    assert inspect(pictures.trailing_bytes()).file() == inspect(pictures.jpeg()).file()
    assert inspect(pictures.deep_exif()).file() == inspect(pictures.jpeg()).file()


def test_more_pixels_behind_the_last_row_are_not_unpacked() -> None:
    rows = zlib.compress(bytes(1 + 320 * 3) * 240 + bytes(50_000_000))
    data = pictures.png_header(320, 240) + pictures.chunk(b"IDAT", rows) + pictures.end_png()
    assert shown(data).size == (320, 240)


def test_a_scan_limit_grows_with_the_work_a_scan_makes() -> None:
    def scans(side: int, times: int) -> bytes:
        data = pictures.encode(Image.new("L", (side, side)), "JPEG", progressive=True)
        last = data.rindex(b"\xff\xda")
        return data[:-2] + data[last:-2] * times + data[-2:]

    assert inspect(scans(200, 50)).width == 200
    for side, times in ((200, 100), (9000, 30)):
        with pytest.raises(ImageRejected, match="passes over its pixels"):
            inspect(scans(side, times))


@pytest.mark.parametrize(
    "data",
    [
        pictures.PNG_SIGNATURE,
        pictures.png_header(100, 100) + pictures.png_header(100, 100)[8:] + pictures.end_png(),
        pictures.with_chunk(pictures.png(), b"IHDR", bytes(13)),
        pictures.PNG_SIGNATURE + pictures.end_png(),
        pictures.png_header(100, 100) + pictures.end_png(),
        pictures.png_header(100, 100, depth=3) + pictures.png()[33:],
        pictures.png_header(100, 100) + struct.pack(">I", 2**31) + b"IDAT",
        pictures.png_header(100, 100) + pictures.chunk(b"IDAT", b"") * 30_000 + pictures.end_png(),
        pictures.jpeg()[:2] + pictures.jpeg()[-2:],
        b"\xff\xd8\xff\xe0\x00\x00",
        b"\xff\xd8" + b"\xff\xfe\x00\x02" * 30_000,
        b"\xff\xd8" + b"\xff" * 100_000,
        b"\xff\xd8\xff\xda\x00\x02",
        b"\xff\xd8\xff\xc0\x00\x08\x08\x00\x64\x00\x64\x01\xff\xda\x00\x03\x01\xff\xd9",
    ],
)
def test_damaged_files_are_refused(data: bytes) -> None:
    with pytest.raises(ImageRejected) as refused:
        shown(data)
    assert refused.value.code == INVALID_FORMAT


@pytest.mark.parametrize(
    "name", ["jpeg", "progressive_jpeg", "png", "palette", "rotated_jpeg", "animated_png"]
)
def test_random_damage_gives_a_picture_or_a_refusal_and_never_another_error(name: str) -> None:
    data, dice = pictures.GOOD[name](), random.Random(name)
    refused = 0
    for _ in range(150):
        damaged = bytearray(data)
        for _ in range(dice.randint(1, 4)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        try:
            assert shown(bytes(damaged)).mode == "RGB"
        except ImageRejected:
            refused += 1
    assert refused
