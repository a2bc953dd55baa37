from __future__ import annotations

import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moderation.flatten.native import library
from moderation.flatten.native import parse as compiled
from moderation.flatten.native.compiler import find_compiler
from moderation.flatten.parsed_block import MAX_LABELS, MAX_LINE_BYTES, Outcome, ParsedBlock
from moderation.flatten.python import parse as definition
from support.result_lines import NUMBERS, SCALARS, fuzzed_block

DRIVER = Path(__file__).parents[3] / "support" / "parse_sanitized.cpp"

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler on this machine")
needs_library = pytest.mark.skipif(library.load() is None, reason="the compiled parser is not there")


def differences(left: ParsedBlock, right: ParsedBlock) -> list[str]:
    """Names of the columns that are not bit for bit the same."""

    def same(a: pa.Array, b: pa.Array) -> bool:
        if a.type == pa.float64():  # -0.0 equals 0.0 and is another value
            a, b = a.view(pa.int64()), b.view(pa.int64())
        return a.equals(b)

    found = []
    for one, other in ((left.lines, right.lines), (left.labels, right.labels)):
        assert one.schema == other.schema
        columns = zip(one.schema.names, one.columns, other.columns, strict=True)
        found += [name for name, a, b in columns if not same(a, b)]
    return found if left.strings.equals(right.strings) else [*found, "strings"]


def twin(block: bytes, first_line: int) -> ParsedBlock:
    parsed = compiled.parse_block(block, first_line)
    assert parsed is not None
    return parsed


def assert_twins(block: bytes, first_line: int = 1) -> ParsedBlock:
    parsed = twin(block, first_line)
    for part in (parsed.lines, parsed.labels, parsed.strings):
        part.validate(full=True)
    assert differences(definition.parse_block(block, first_line), parsed) == []
    return parsed


def answer(inner: str) -> bytes:
    return b'{"source-ref":"s3://b/k","detect-moderation-labels":{' + inner.encode() + b"}}"


def labels(*items: str) -> bytes:
    return answer('"ModerationLabels":[' + ",".join(items) + "]")


@needs_library
class TestTwin:
    @pytest.mark.parametrize("start", range(0, 1000, 250))
    def test_generated_and_mutated_lines(self, start: int) -> None:
        for seed in range(start, start + 250):
            assert_twins(fuzzed_block(seed, lines=12), seed + 1)

    @settings(max_examples=300)
    @given(st.binary(max_size=200))
    def test_any_bytes(self, block: bytes) -> None:
        assert_twins(block)

    @settings(max_examples=300)
    @given(st.binary(max_size=40))
    def test_any_bytes_inside_a_string(self, inner: bytes) -> None:
        assert_twins(b'{"source-ref":"' + inner + b'","detect-moderation-labels":{"ModerationLabels":[]}}')

    @settings(max_examples=300)
    @given(
        st.floats(allow_nan=False, allow_infinity=False),
        st.sampled_from(["{!r}", "{:e}", "{:.0f}", "{:.25g}", "{:.17g}"]),
    )
    def test_any_confidence(self, number: float, form: str) -> None:
        assert_twins(labels(f'{{"Name":"x","Confidence":{form.format(number)}}}'))

    @settings(max_examples=300)
    @given(st.from_regex(r"-?[0-9]{1,25}(\.[0-9]{1,25})?([eE][-+]?[0-9]{1,3})?", fullmatch=True))
    def test_any_number(self, number: str) -> None:
        assert_twins(labels(f'{{"Name":"x","Confidence":{number}}}'))

    @pytest.mark.parametrize("number", NUMBERS)
    @pytest.mark.parametrize("field", ["Confidence", "TaxonomyLevel", "Other"])
    def test_numbers_that_are_easy_to_get_wrong(self, field: str, number: str) -> None:
        assert_twins(labels(f'{{"Name":"x","Confidence":1,"{field}":{number}}}'))

    @pytest.mark.parametrize("value", SCALARS)
    def test_each_field_of_each_type(self, value: str) -> None:
        for line in (
            f'{{"source-ref":{value},"detect-moderation-labels":{{"ModerationLabels":[]}}}}'.encode(),
            f'{{"source-ref":"x","detect-moderation-labels":{value}}}'.encode(),
            f'{{"source-ref":"x","else":{value},"detect-moderation-labels":null}}'.encode(),
            answer(f'"ModerationLabels":{value}'),
            answer(f'"ModerationLabels":[],"ContentTypes":{value}'),
            answer(f'"ModerationLabels":[],"ContentTypes":[{value},{{"Name":{value},"Confidence":1}}]'),
            answer(f'"ModerationLabels":[],"ContentTypes":[{{"Name":"Animated","Confidence":{value}}}]'),
            answer(f'"ModerationLabels":[],"ModerationModelVersion":{value},"ProjectVersion":{value}'),
            labels(value),
            labels(f'{{"Name":{value},"Confidence":1}}'),
            labels(f'{{"Name":"x","ParentName":{value},"Confidence":1}}'),
            labels('{"Name":"x","TaxonomyLevel":2,"TaxonomyLevel":' + value + ',"Confidence":1}'),
            value.encode(),
        ):
            assert_twins(line)

    @pytest.mark.parametrize("depth", [1020, 1021, 1022, 1023, 1024, 1025, 2000])
    @pytest.mark.parametrize("pair", ["[]", ("{", "}")])
    def test_nesting_up_to_the_limit(self, depth: int, pair: tuple[str, str]) -> None:
        opening, closing = pair
        step = '{"a":' if opening == "{" else "["
        nested = step * (depth - 1) + opening + closing + closing * (depth - 1)
        assert_twins(nested.encode())
        assert_twins(b'{"source-ref":"x","else":' + nested.encode() + b"}")
        assert_twins(answer('"else":' + nested))
        assert_twins(labels('{"else":' + nested + "}"))

    @pytest.mark.parametrize("extra", [-1, 0, 1])
    def test_lines_around_the_longest_that_counts(self, extra: int) -> None:
        head, tail = b'{"source-ref":"s3://b/k","x":"', b'"}'
        line = head + b"a" * (MAX_LINE_BYTES + extra - len(head) - len(tail)) + tail
        assert len(line) == MAX_LINE_BYTES + extra
        parsed = assert_twins(b"  " + line + b"\r\n" + line)
        expected = Outcome.NOT_JSON if extra > 0 else Outcome.NO_ANSWER
        assert parsed.lines.column("outcome").to_pylist() == [expected, expected]

    @pytest.mark.parametrize(
        "line",
        [
            b'{"source-ref":"a"',
            b'{"source-ref" :\t"a\\u00e9\\n"',
            b'{"source-ref":"a\\',
            b'{"source-ref":"a\\"',
            b'{"source-ref":"\\ud800" "source-ref":"b"',
            b'{"source-ref":1,"source-ref":"b"',
            b'{"source-ref":"" , "source-ref":"b"',
            b'"source-ref""source-ref":"b"',
            b'{"source-ref":"\xff","source-ref":"b"',
            b'{"source-ref":"a\tb"',
            b"\xff" * 2500,
            "é".encode() * 2500 + b"\xff",
            b"\xf0\x9f\x98",
            b"\xe0\x80\x80\xed\xa0\x80\xf4\x90\x80\x80\xc3\x28",
        ],
    )
    def test_what_is_kept_of_broken_lines(self, line: bytes) -> None:
        assert_twins(line)

    def test_line_numbers_count_blank_lines(self) -> None:
        block = b"\n \r\n[]\r\n\n\t[]\n\n"
        assert assert_twins(block, 10).lines.column("line_number").to_pylist() == [12, 14]

    @pytest.mark.parametrize("block", [b"", b"\n", b" ", b"[]", b"[]\n"])
    def test_hardly_anything(self, block: bytes) -> None:
        assert_twins(block)

    def test_many_distinct_names(self) -> None:
        lines = [labels(*(f'{{"Name":"n{n}{m}","Confidence":{m}}}' for m in range(30))) for n in range(300)]
        assert len(assert_twins(b"\n".join(lines)).strings) > 2000

    @pytest.mark.parametrize("count", [MAX_LABELS, MAX_LABELS + 1])
    def test_labels_up_to_the_limit(self, count: int) -> None:
        label = '{"Name":"x","ParentName":"x","Confidence":1}'
        parsed = assert_twins(labels(*[label] * count))
        assert parsed.labels.num_rows == (count if count <= MAX_LABELS else 0)

    def test_columns_outlive_the_block(self) -> None:
        column = twin(labels('{"Name":"x","Confidence":1}') * 1, 5).lines.column("source_ref")
        for seed in range(20):
            twin(fuzzed_block(seed), 1)
        assert column.to_pylist() == ["s3://b/k"]

    def test_threads_do_not_disturb_each_other(self) -> None:
        blocks = [fuzzed_block(seed, lines=100) for seed in range(8)] * 8
        with ThreadPoolExecutor(4) as pool:
            parsed = list(pool.map(lambda block: twin(block, 1), blocks))
        for seed, one in enumerate(parsed):
            assert differences(one, parsed[seed % 8]) == []


@pytest.mark.long
@needs_compiler
def test_no_memory_error_on_any_input(tmp_path: Path) -> None:
    """Built with AddressSanitizer and UBSan, which end the program at the first wrong access."""
    program, corpus = tmp_path / "driver", tmp_path / "corpus"
    flags = ["-std=c++17", "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    compiler = find_compiler() or "c++"
    built = subprocess.run(
        [compiler, *flags, "-o", program, DRIVER], capture_output=True, text=True, check=False
    )
    if built.returncode:
        pytest.skip(f"{compiler} has no sanitizers: {built.stderr[:200]}")
    blocks = [fuzzed_block(seed) for seed in range(1500)]
    whole = labels('{"Name":"Weapons","ParentName":"","Confidence":99.8,"TaxonomyLevel":1}')
    blocks += [whole[:size] for size in range(len(whole))]
    blocks += [b"[" * 5000, b'{"a":' * 5000, orjson.dumps({"source-ref": "x" * (MAX_LINE_BYTES + 10)})]
    with corpus.open("wb") as file:
        for block in blocks:
            file.write(struct.pack("<Q", len(block)) + block)
    result = subprocess.run([program, corpus], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[:3000]
    assert result.stdout.startswith(f"{len(blocks)} blocks")
