from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from moderation.flatten.blocks import iter_blocks
from moderation.flatten.parse import parse_block
from moderation.flatten.parsed_block import MAX_LINE_BYTES, MAX_RAW_CHARS, Outcome
from moderation.flatten.python import parse as definition
from support.planned_runs import answer, line, weapon_violence


def test_a_line_that_never_ends_is_cut_and_those_after_it_are_read():
    good = line("s3://b/a", answer())
    stream = io.BytesIO(b"\n".join([good, b'{"source-ref":"' + b"x" * (3 * MAX_LINE_BYTES), good]))
    sizes, rows = [], []
    for block, first in iter_blocks(stream, block_bytes=1 << 20):
        sizes.append(len(block))
        rows += parse_block(block, first).lines.to_pylist()
    assert [(row["line_number"], row["outcome"]) for row in rows] == [(1, 0), (2, Outcome.NOT_JSON), (3, 0)]
    assert len(rows[1]["raw"]) == MAX_RAW_CHARS
    assert max(sizes) <= MAX_LINE_BYTES + (2 << 20)


def test_a_byte_order_mark_is_dropped():
    (block,) = iter_blocks(io.BytesIO(b"\xef\xbb\xbf" + line("s3://b/a", answer())))
    assert parse_block(*block).lines.column("outcome").to_pylist() == [Outcome.ANSWERED]


def test_files_read_at_the_same_time_do_not_disturb_each_other():
    files = [b"".join(line(f"s3://{name}/{n}", answer()) + b"\n" for n in range(9)) for name in "ab"]
    iterators = [iter_blocks(io.BytesIO(data), block_bytes=100) for data in files]
    found: list[bytes] = [b"", b""]
    for pair in zip(*iterators, strict=True):
        for number, (block, _) in enumerate(pair):
            found[number] += block
    assert found == files


def test_an_empty_file_has_no_block():
    assert list(iter_blocks(io.BytesIO(b""))) == []


@given(
    lines=st.lists(
        st.sampled_from([line("s3://b/a", answer(weapon_violence())), b"", b"{cut", b"[]", b"{}"])
    ),
    block_bytes=st.integers(1, 300),
    ending=st.sampled_from([b"", b"\n"]),
)
def test_cutting_into_blocks_changes_nothing(lines, block_bytes, ending):
    data = b"\n".join(lines) + ending
    whole = definition.parse_block(data, 1).lines.to_pylist()
    parts = [
        row
        for block, first in iter_blocks(io.BytesIO(data), block_bytes=block_bytes)
        for row in definition.parse_block(block, first).lines.to_pylist()
    ]
    for row in (*whole, *parts):  # indices count within a block
        for name in ("top_label", "model_version"):
            row.pop(name)
    assert parts == whole
