from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from PIL import Image

from moderation.sources.decoding import decode
from support import pictures

DATA = Path(__file__).parents[3] / "data" / "phones"
SHOWN = {name: maker for name, maker in pictures.GOOD.items() if name != "longest"}


def arriving(data: bytes, size: int = 1 << 30) -> decode.Arriving:
    """A file that arrives in parts of so many bytes."""
    return decode.Arriving(data[place : place + size] for place in range(0, len(data), size))


def shrink(data: bytes, longest: int) -> bytes:
    said, made = decode.shrink(arriving(data), longest)
    assert said == decode.OK
    return made


@pytest.mark.parametrize("size", [1, 1_000])
@pytest.mark.parametrize("name", sorted(SHOWN))
def test_an_image_that_arrives_in_parts_is_shown_as_one_that_is_here(name, size):
    data = SHOWN[name]()
    if size == 1:
        data = data[:20_000]  # cut off: the same reason, too
    assert decode.shrink(arriving(data, size), 320) == decode.shrink(arriving(data), 320)


def test_a_jpeg_is_read_no_further_than_it_is_decoded():
    asked = []

    def parts():
        for place in range(0, len(data), 1_000):
            asked.append(place)
            yield data[place : place + 1_000]

    data = pictures.jpeg(20_000, 100)
    said, _ = decode.shrink(decode.Arriving(parts()), 320)
    assert said.startswith("it has 20,000")
    assert len(asked) < 5


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_every_image_that_rekognition_takes_can_be_looked_at(name):
    with Image.open(io.BytesIO(shrink(SHOWN[name](), 320))) as made:
        assert made.format == "JPEG"
        assert made.mode == "RGB"
        assert max(made.size) <= 320


@pytest.mark.parametrize(
    "maker", [pictures.webp, pictures.gif, pictures.bmp], ids=lambda maker: maker.__name__
)
def test_images_that_rekognition_refuses_for_their_format_can_be_looked_at_too(maker):
    assert shrink(maker(), 320).startswith(b"\xff\xd8")


def test_an_image_of_a_phone_is_shown_upright_and_of_several_its_first():
    said, made = decode.whole(arriving((DATA / "turned.heic").read_bytes()))
    with Image.open(io.BytesIO(made)) as upright:
        assert (said, upright.size) == (decode.OK, (100, 160))
        assert upright.getpixel((50, 20))[0] > 150 > upright.getpixel((50, 140))[0]
    said, made = decode.whole(arriving((DATA / "several.heic").read_bytes()))
    assert said == decode.FIRST


def test_an_image_of_a_phone_that_is_cut_off_is_told_as_damaged():
    whole = (DATA / "turned.heic").read_bytes()
    assert shrink(whole, 80).startswith(b"\xff\xd8")
    assert decode.shrink(arriving(whole[:600]), 80) == ("the file is damaged, or no image", b"")


@pytest.mark.parametrize(
    "maker",
    [
        pictures.zero_byte,
        pictures.text_named_jpg,
        pictures.bomb_600mp,
        pictures.header_only_jpeg,
        pictures.corrupt_png,
    ],
    ids=lambda maker: maker.__name__,
)
def test_what_is_no_image_or_too_large_is_told_in_words(maker):
    said, made = decode.shrink(arriving(maker()), 320)
    assert re.search(r"image|empty|pixels", said)
    assert made == b""


@pytest.mark.parametrize(
    ("size", "longest", "decoded"),
    [((1600, 1200), 800, (800, 600)), ((1920, 1080), 320, (480, 270)), ((300, 1200), 320, (150, 600))],
)
def test_no_more_pixels_are_decoded_than_the_shape_asked_for_needs(monkeypatch, size, longest, decoded):
    seen = []
    made = Image.Image.thumbnail

    def thumbnail(image, *given, **named):
        image.load()
        seen.append(image.size)
        return made(image, *given, **named)

    monkeypatch.setattr(Image.Image, "thumbnail", thumbnail)
    shrink(pictures.jpeg(*size), longest)
    assert seen == [decoded]


def test_an_image_is_shown_upright():
    with Image.open(io.BytesIO(pictures.rotated_jpeg())) as lying:
        lying_wide = lying.width > lying.height
    with Image.open(io.BytesIO(shrink(pictures.rotated_jpeg(), 320))) as made:
        assert (made.width > made.height) is not lying_wide


def test_transparency_is_shown_on_white():
    image = Image.new("RGBA", (100, 100), (255, 0, 0, 0))
    file = io.BytesIO()
    image.save(file, "PNG")
    with Image.open(io.BytesIO(shrink(file.getvalue(), 320))) as made:
        assert min(made.getpixel((50, 50))) > 250


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "WEBP", "GIF"])
def test_a_whole_image_keeps_its_size_and_becomes_a_jpeg(kind):
    said, made = decode.whole(arriving(pictures.encode(pictures.noise(400, 300), kind)))
    assert said == decode.OK
    with Image.open(io.BytesIO(made)) as image:
        assert (image.format, image.size) == ("JPEG", (400, 300))


def test_of_several_frames_the_first_is_taken_and_that_is_said():
    file = io.BytesIO()
    red, blue = (Image.new("RGB", (90, 90), colour) for colour in ("red", "blue"))
    red.save(file, "GIF", save_all=True, append_images=[blue])
    said, made = decode.whole(arriving(file.getvalue()))
    assert said == decode.FIRST
    with Image.open(io.BytesIO(made)) as image:
        assert image.getpixel((45, 45))[0] > 200


@pytest.mark.parametrize("data", [b"", b"GIF89a", pictures.gif()[:40]])
def test_what_cannot_be_decoded_whole_says_so(data):
    said, made = decode.whole(arriving(data))
    assert said not in {decode.OK, decode.FIRST}
    assert made == b""


def test_a_jpeg_beyond_what_rekognition_takes_is_made_smaller_or_refused(monkeypatch):
    noise = pictures.encode(pictures.noise(200, 200), "BMP")
    best = len(decode.whole(arriving(noise))[1])
    monkeypatch.setattr(decode, "_MOST_BYTES", best - 1)
    said, made = decode.whole(arriving(noise))
    assert said == decode.OK
    assert len(made) < best
    monkeypatch.setattr(decode, "_MOST_BYTES", 10)
    assert decode.whole(arriving(noise)) == ("as a JPEG it has more than 15 MB", b"")
