from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from moderation.reference import error_codes, limits
from moderation.sources import image_header
from moderation.sources.image_header import HeaderError, check_bytes, check_image, dimensions
from support import pictures


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(pictures.picture("JPEG"), id="JPEG"),
        pytest.param(pictures.picture("JPEG", progressive=True), id="progressive JPEG"),
        pytest.param(pictures.picture("JPEG", mode="CMYK"), id="CMYK JPEG"),
        pytest.param(pictures.picture("JPEG", mode="L"), id="grey JPEG"),
        pytest.param(pictures.picture("PNG"), id="PNG"),
        pytest.param(pictures.picture("PNG", mode="I;16"), id="16-bit PNG"),
        pytest.param(pictures.picture("PNG", mode="P"), id="palette PNG"),
        pytest.param(pictures.animated_png(), id="animated PNG"),
        pytest.param(pictures.picture("PNG", (80, 80)), id="smallest"),
        pytest.param(pictures.png_header(10_000, 10_000), id="largest"),
        pytest.param(pictures.picture("MPO"), id="MPO"),
        pytest.param(pictures.jpeg_with_long_header(5_000_000), id="5 MB of JPEG header"),
    ],
)
def test_what_rekognition_takes_passes(data):
    assert check_bytes(data) is None


@pytest.mark.parametrize(
    ("data", "code", "says"),
    [
        pytest.param(b"just text\n" * 20, error_codes.INVALID_IMAGE_FORMAT, "text", id="text named .jpg"),
        pytest.param(b"", error_codes.EMPTY_FILE, "empty", id="0 bytes"),
        pytest.param(pictures.picture()[:40], error_codes.INVALID_IMAGE_FORMAT, "ends inside", id="cut JPEG"),
        pytest.param(
            pictures.picture("PNG")[:20], error_codes.INVALID_IMAGE_FORMAT, "ends inside", id="cut PNG"
        ),
        pytest.param(b"\xff\xd8", error_codes.INVALID_IMAGE_FORMAT, "ends inside", id="two bytes"),
        pytest.param(pictures.picture("WEBP"), error_codes.INVALID_IMAGE_FORMAT, "WebP", id="WebP"),
        pytest.param(pictures.picture("GIF"), error_codes.INVALID_IMAGE_FORMAT, "GIF", id="GIF"),
        pytest.param(pictures.picture("BMP"), error_codes.INVALID_IMAGE_FORMAT, "BMP", id="BMP"),
        pytest.param(pictures.picture("TIFF"), error_codes.INVALID_IMAGE_FORMAT, "TIFF", id="TIFF"),
        pytest.param(pictures.picture("AVIF"), error_codes.INVALID_IMAGE_FORMAT, "AVIF", id="AVIF"),
        pytest.param(
            b"\x00\x00\x00\x18ftypheic" + bytes(9), error_codes.INVALID_IMAGE_FORMAT, "HEIC", id="HEIC"
        ),
        pytest.param(b"%PDF-1.7\n", error_codes.INVALID_IMAGE_FORMAT, "PDF", id="PDF"),
        pytest.param(bytes(500), error_codes.INVALID_IMAGE_FORMAT, "no known", id="zeros"),
        pytest.param(pictures.picture(size=(40, 90)), error_codes.INVALID_PARAMETER, "40 x 90", id="40 px"),
        pytest.param(pictures.picture(size=(90, 79)), error_codes.INVALID_PARAMETER, "90 x 79", id="79 px"),
        pytest.param(
            pictures.png_header(24_000, 25_000),
            error_codes.INVALID_PARAMETER,
            "24000 x 25000",
            id="600 megapixels",
        ),
        pytest.param(
            pictures.png_header(10_001, 100), error_codes.INVALID_PARAMETER, "10001", id="one too wide"
        ),
        pytest.param(
            pictures.png_header(0, 100), error_codes.INVALID_IMAGE_FORMAT, "no pixels", id="no width"
        ),
        pytest.param(
            pictures.png_header(2**31, 2**31),
            error_codes.INVALID_PARAMETER,
            "2147483648",
            id="2 gigapixels a side",
        ),
        pytest.param(
            pictures.png_header(100, 100).replace(b"IHDR", b"IEND"),
            error_codes.INVALID_IMAGE_FORMAT,
            "IHDR",
            id="no IHDR",
        ),
        pytest.param(
            b"\xff\xd8\xff\xe0\x00\x01" + bytes(30),
            error_codes.INVALID_IMAGE_FORMAT,
            "impossible length",
            id="length 1",
        ),
        pytest.param(
            b"\xff\xd8\xff\xda" + bytes(30),
            error_codes.INVALID_IMAGE_FORMAT,
            "no frame header",
            id="data first",
        ),
        pytest.param(
            b"\xff\xd8" + b"\xff\xef\x00\x02" * 200_000,
            error_codes.INVALID_IMAGE_FORMAT,
            "segments",
            id="segment bomb",
        ),
        pytest.param(
            b"\xff\xd8" + b"\xff" * 1_000_000,
            error_codes.INVALID_IMAGE_FORMAT,
            "ends inside",
            id="fill bytes",
        ),
    ],
)
def test_what_rekognition_refuses_is_rejected_with_a_code_and_a_reason(data, code, says):
    rejection = check_bytes(data)

    assert rejection is not None
    assert rejection.code == code
    assert says in rejection.message


def test_a_file_of_16_mb_is_rejected_before_a_byte_is_read():
    def read(offset, length):
        raise AssertionError("read")

    assert check_image(16 * limits.MIB, read)[0] == error_codes.IMAGE_TOO_LARGE
    assert check_bytes(pictures.picture() + bytes(limits.IMAGE_MAX_BYTES))[0] == error_codes.IMAGE_TOO_LARGE
    assert check_bytes(pictures.picture().ljust(limits.IMAGE_MAX_BYTES, b"\0")) is None


def test_a_picture_cut_in_its_body_is_sent_because_only_the_service_can_tell():
    data = pictures.picture(size=(500, 500))

    assert check_bytes(data[: len(data) // 2]) is None


def test_a_usual_header_costs_one_read_and_a_long_one_few():
    def reads(data):
        asked = []

        def read(offset, length):
            asked.append((offset, length))
            return data[offset : offset + length]

        assert check_image(len(data), read) is None
        return asked

    assert len(reads(pictures.picture())) == 1
    pieces = reads(pictures.jpeg_with_long_header(3_000_000))
    assert len(pieces) <= 5
    assert [offset for offset, _ in pieces[1:]] == [
        sum(length for _, length in pieces[:number]) for number in range(1, len(pieces))
    ]


@settings(max_examples=60)
@given(
    st.sampled_from(["PNG", "JPEG"]),
    st.integers(1, 300),
    st.integers(1, 300),
    st.booleans(),
)
def test_width_and_height_are_those_an_imaging_library_reads(kind, width, height, progressive):
    options = {"progressive": progressive} if kind == "JPEG" else {}
    data = pictures.picture(kind, (width, height), **options)

    with Image.open(io.BytesIO(data)) as image:
        assert dimensions(data) == image.size


@given(
    st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", pictures.picture()[:200]]),
    st.binary(max_size=3000),
)
def test_no_header_however_hostile_raises_anything_but_a_verdict(start, rest):
    try:
        found = dimensions(start + rest)
    except HeaderError:
        return
    assert found is None or (found.width > 0 and found.height > 0)


def test_a_png_with_more_text_than_an_imaging_library_takes_is_still_sent():
    data = pictures.png_header(100, 100) + struct.pack(">I", 2_000_000) + b"tEXt" + b"a" * 2_000_004
    assert check_bytes(data) is None


def test_the_media_type_is_that_of_the_content():
    assert image_header.media_type(pictures.picture("PNG")) == "image/png"
    assert image_header.media_type(pictures.picture("JPEG")) == "image/jpeg"
