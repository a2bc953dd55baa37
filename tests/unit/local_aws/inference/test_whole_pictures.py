"""Whether a picture is whole: answered if and only if no pixel of it is made up by the decoder."""

from __future__ import annotations

import itertools
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from local_aws.inference.decode import ImageLimits, check, decode
from local_aws.inference.errors import INVALID_FORMAT, ImageRejected
from support import pictures

DATA = Path(__file__).parents[3] / "data/pictures"
END = b"\xff\xd9"
EXIF_PREVIEW = b"\xff\xd8\xff\xe1\x00\x08preview" + END


def shown(data: bytes) -> bytes | None:
    """The pixels the model is shown; None when the picture is refused."""
    try:
        image = decode(check(data, ImageLimits()))
    except ImageRejected as refused:
        return None if refused.code == INVALID_FORMAT else b"another refusal"
    return repr(image.size).encode() + image.tobytes()


def jpeg(mode: str = "RGB", width: int = 104, height: int = 88, **options: object) -> bytes:
    return pictures.encode(pictures.noise(width, height, mode), "JPEG", quality=80, **options)


JPEGS: dict[str, Callable[[], bytes]] = {
    "baseline": jpeg,
    "full colour": lambda: jpeg(subsampling=0),
    "half colour": lambda: jpeg(subsampling=1),
    "own tables": lambda: jpeg(optimize=True),
    "grey": lambda: jpeg("L"),
    "cmyk": lambda: jpeg("CMYK"),
    "progressive": lambda: jpeg(progressive=True),
    "progressive grey": lambda: jpeg("L", progressive=True),
    "restarts": lambda: jpeg(restart_marker_blocks=3),
    "restarts in each row": lambda: jpeg(restart_marker_rows=1),
    "progressive restarts": lambda: jpeg(progressive=True, restart_marker_rows=1),
    "mid grey": lambda: pictures.encode(Image.new("L", (104, 88), 128), "JPEG"),
    "black": lambda: pictures.encode(Image.new("RGB", (104, 88)), "JPEG", progressive=True),
}
SCANS = re.compile(rb"\xff\xda")


@pytest.mark.parametrize("path", sorted(DATA.iterdir()), ids=lambda path: path.stem)
def test_files_that_cameras_and_editors_leave_a_little_damaged_are_answered(path: Path) -> None:
    base = (DATA / "base.jpg").read_bytes()
    data = path.read_bytes()
    assert shown(data) is not None
    if path.suffix == ".jpg":
        assert shown(data) == shown(base)


def endings(data: bytes) -> list[bytes]:
    """The same JPEG ended after each of its scans: good pictures of a progressive one, only coarser."""
    ends = []
    for scan in SCANS.finditer(data):
        start = scan.end() + int.from_bytes(data[scan.end() : scan.end() + 2], "big")
        end = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]").search(data, start)
        assert end is not None
        ends.append(data[: end.start()] + END)
    return ends


@pytest.mark.parametrize("behind", [b"", END, END + b"PK\x03\x04" * 100, EXIF_PREVIEW], ids=range(4))
@pytest.mark.parametrize("name", JPEGS)
def test_a_jpeg_cut_anywhere_is_refused_unless_nothing_of_what_is_shown_is_missing(
    name: str, behind: bytes
) -> None:
    data = JPEGS[name]()
    whole = shown(data)
    assert whole is not None
    first = data.index(b"\xff\xda")
    may_be = {whole, None}
    if behind and "progressive" in name:
        may_be |= {shown(ended) for ended in endings(data)}
    cuts = {*range(2, first, 37), *range(first, len(data) - 2, max(1, len(data) // 60))}
    for cut in sorted(cuts | set(range(len(data) - 12, len(data)))):
        found = shown(data[:cut] + behind)
        assert found in may_be, cut
        assert found == whole or cut < len(data) - 2, cut
        assert found is None or cut > first, cut


@pytest.mark.parametrize("name", ["baseline", "grey", "cmyk", "mid grey", "restarts"])
def test_a_jpeg_that_lacks_a_few_blocks_is_refused_even_if_they_are_as_grey_as_made_up_ones(
    name: str,
) -> None:
    data = JPEGS[name]()
    for cut in range(data.index(b"\xff\xda") + 12, len(data) - 2 - 6):
        assert shown(data[:cut] + END) is None, cut


@pytest.mark.parametrize("name", ["progressive", "progressive grey", "progressive restarts"])
def test_a_progressive_jpeg_that_ends_after_any_of_its_scans_but_the_last_is_refused(name: str) -> None:
    data = JPEGS[name]()
    places = [found.start() for found in SCANS.finditer(data)]
    assert len(places) > 4
    for place in places[1:]:
        assert shown(data[:place]) is None


@pytest.mark.parametrize("name", ["restarts", "restarts in each row"])
def test_a_jpeg_that_lacks_the_part_between_two_restart_markers_is_refused(name: str) -> None:
    data = JPEGS[name]()
    marks = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", data)]
    assert len(marks) > 4
    for former, later in itertools.pairwise(marks):
        assert shown(data[:former] + data[later:]) is None
        assert shown(data[: former + 2] + data[later:]) is None
        assert shown(data[: (former + later) // 2] + data[later:]) is None
    assert shown(data[: marks[-1]] + END) is None


@pytest.mark.parametrize("name", ["baseline", "progressive", "restarts", "grey"])
def test_a_jpeg_that_declares_more_pixels_than_it_holds_is_refused(name: str) -> None:
    data = JPEGS[name]()
    place = re.search(rb"\xff[\xc0\xc2]\x00", data).start() + 5  # type: ignore[union-attr]
    for height, width in ((10_000, 10_000), (89 + 8, 104), (3000, 104)):
        assert shown(data[:place] + struct.pack(">HH", height, width) + data[place + 4 :]) is None


@pytest.mark.parametrize(
    "junk", [b"\x00", b"abc", b"\x00\x00\x00", b"\xff\x00", b"\xff\xff\xff", b"\xff\xd3"]
)
@pytest.mark.parametrize("name", ["baseline", "progressive", "restarts"])
def test_stray_bytes_between_segments_change_nothing(name: str, junk: bytes) -> None:
    data = JPEGS[name]()
    whole, position = shown(data), 20  # behind the first segment: a file is known by its first bytes
    while data[position + 1] != 0xDA:
        assert shown(data[:position] + junk + data[position:]) == whole
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    assert shown(data[:position] + junk + data[position:]) == whole
    if junk[0] != 0xFF:  # in front of the end marker these are the last of the compressed data
        assert shown(data[:-2] + junk + data[-2:]) == whole


def test_a_jpeg_in_one_scan_for_each_component_needs_all_of_them() -> None:
    """Three scans of one component each, as T.81 allows; made from three grey pictures of one size."""
    planes = [jpeg("L", seed_height) for seed_height in (104, 104, 104)]
    head, scan = planes[0][: planes[0].index(b"\xff\xc0")], planes[0][planes[0].index(b"\xff\xda") : -2]
    frame = (
        b"\xff\xc0\x00\x11\x08"
        + struct.pack(">HHB", 88, 104, 3)
        + bytes([1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0])
    )
    tables = b"".join(re.findall(rb"\xff\xc4\x00[\x1f\xb5].*?(?=\xff[\xc4\xda])", planes[0], re.DOTALL))
    scans = [scan[:5] + bytes([name]) + scan[6:] for name in (1, 2, 3)]
    whole = head + frame + tables + b"".join(scans) + END
    assert shown(whole) is not None
    assert shown(whole[:-2]) == shown(whole)
    for count in (1, 2):
        assert shown(head + frame + tables + b"".join(scans[:count]) + END) is None


def unpacked(data: bytes) -> int:
    """How many bytes the compressed data of a PNG, whole or cut, unpacks to."""
    position, unpacker, total = 8, zlib.decompressobj(), 0
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind == b"IDAT":
            total += len(unpacker.decompress(data[position + 8 : position + 8 + length]))
        position += 12 + length
    return total


PNGS: dict[str, Callable[[], bytes]] = {
    "rgb": lambda: pictures.png(104, 88),
    "grey": lambda: pictures.png(104, 88, "L"),
    "palette": pictures.palette,
    "one bit": pictures.one_bit,
    "sixteen bit": pictures.sixteen_bit,
    "transparent": pictures.transparent_png,
    "interlaced": lambda: pictures.interlaced_png(104, 88),
    "blank": lambda: pictures.blank_png(104, 88),
    "odd sides, interlaced": lambda: pictures.interlaced_png(83, 81),
}


@pytest.mark.parametrize("name", PNGS)
def test_a_png_cut_anywhere_is_answered_if_and_only_if_every_row_is_there(name: str) -> None:
    data = PNGS[name]()
    whole, rows = shown(data), unpacked(data)
    assert whole is not None
    answered = 0
    for cut in {*range(0, len(data), max(1, len(data) // 150)), *range(len(data) - 30, len(data))}:
        found = shown(data[:cut])
        assert found == (whole if cut and unpacked(data[:cut]) >= rows else None), cut
        answered += found is not None
    assert answered


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize("lacking", [1, 40, 87])
def test_a_png_whose_data_ends_early_at_the_end_of_a_row_is_refused(lacking: int, interlace: int) -> None:
    """The decoder takes that for the end, and leaves black what is missing."""
    rows = bytes(1 + 104 * 3) * (88 - lacking)
    data = pictures.png_header(104, 88, interlace=interlace) + pictures.chunk(b"IDAT", zlib.compress(rows))
    assert shown(data + pictures.end_png()) is None


def damaged_checksum(data: bytes, kind: bytes) -> bytes:
    position = data.index(kind) - 4
    end = position + 12 + int.from_bytes(data[position : position + 4], "big")
    return data[: end - 1] + bytes([data[end - 1] ^ 1]) + data[end:]


def test_a_wrong_checksum_matters_where_decoders_let_it_matter() -> None:
    """libpng refuses a damaged header or palette, and goes on without damaged chunks it can do without."""
    image = pictures.png(104, 88)
    for kind in (b"IDAT", b"IEND"):
        assert shown(damaged_checksum(image, kind)) == shown(image)
    assert shown(damaged_checksum(pictures.with_chunk(image, b"tEXt", b"a\0b"), b"tEXt")) == shown(image)
    assert shown(damaged_checksum(image, b"IHDR")) is None
    assert shown(damaged_checksum(pictures.palette(), b"PLTE")) is None
    seen = Image.new("RGB", (100, 100), (1, 2, 3))
    hidden = pictures.encode(seen, "PNG", transparency=(1, 2, 3))
    assert shown(damaged_checksum(hidden, b"tRNS")) == shown(pictures.encode(seen, "PNG"))


def test_pixels_in_many_chunks_with_others_between_are_one_stream() -> None:
    image = pictures.png(104, 88)
    start = image.index(b"IDAT")
    body = image[start + 4 : start + 4 + int.from_bytes(image[start - 4 : start], "big")]
    pieces = [pictures.chunk(b"IDAT", body[at : at + 100]) for at in range(0, len(body), 100)]
    text = pictures.chunk(b"tEXt", b"a\0b")
    assert shown(image[: start - 4] + text.join(pieces) + pictures.end_png()) == shown(image)
