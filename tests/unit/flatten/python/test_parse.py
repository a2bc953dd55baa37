from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from moderation.flatten.parsed_block import LABELS_SCHEMA, LINES_SCHEMA
from moderation.flatten.python.parse import parse_block


@given(st.binary(max_size=400))
def test_no_bytes_are_too_strange(data):
    parsed = parse_block(data, 1)
    assert parsed.lines.schema == LINES_SCHEMA
    assert parsed.labels.schema == LABELS_SCHEMA
    assert parsed.lines.num_rows == sum(bool(part.strip(b" \t\r\n")) for part in data.split(b"\n"))
