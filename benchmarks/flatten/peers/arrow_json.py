"""pyarrow.json with an explicit schema, file by file, then compute functions; one writer for each table."""

from __future__ import annotations

import re
import sys
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1]))

import spec

_CONFIDENCE = ("Confidence", pa.float64())
_LABEL = pa.struct(
    [_CONFIDENCE, ("Name", pa.string()), ("ParentName", pa.string()), ("TaxonomyLevel", pa.int8())]
)
_ANSWER = pa.struct(
    [
        ("ModerationLabels", pa.list_(_LABEL)),
        ("ModerationModelVersion", pa.string()),
        ("ContentTypes", pa.list_(pa.struct([_CONFIDENCE, ("Name", pa.string())]))),
    ]
)
_SCHEMA = pa.schema([("source-ref", pa.string()), ("detect-moderation-labels", _ANSWER)])
_PARSE = pj.ParseOptions(explicit_schema=_SCHEMA, unexpected_field_behavior="ignore")
_SOURCE_REF = re.compile(rb'"source-ref":"([^"]*)"')
_TAXONOMY = spec.taxonomy()
_NAMES = pa.array([entry["name"] for entry in _TAXONOMY])
_PATH = {n: pa.array([entry[f"l{n}"] for entry in _TAXONOMY], pa.string()) for n in (1, 2, 3)}
_DICTIONARY = [
    "load_id", "bucket", "status", "error_code", "error_message", "content_type", "top_l1", "backend",
    "model_version", "adapter", "job_id", "manifest_id", "l1", "l2", "l3", "name", "parent_name", "v7_l1",
    "v7_l2", "v7_l3",
]  # fmt: skip


def _read(path: Path) -> tuple[pa.Table, pa.Array]:
    """The file's lines, and a mask of the broken ones, of which only the source-ref is there."""
    lines = path.read_bytes().splitlines()
    # read_json gives up at the first bad line, so broken ones must be told by their look.
    broken = [not line.endswith(b"}}") and (not line.endswith(b"}") or b"detect-" in line) for line in lines]
    for number in np.flatnonzero(broken):
        match = _SOURCE_REF.search(lines[number])
        lines[number] = b'{"source-ref":"%s"}' % match[1] if match else b"{}"
    options = pj.ReadOptions(block_size=1 << 22)
    return pj.read_json(pa.BufferReader(b"\n".join(lines)), options, _PARSE).combine_chunks(), pa.array(
        broken
    )


def _by_line(types: pa.Array, kind: str, rows: int) -> pa.Array:
    """The confidence of a content type of each line."""
    items, line = types.flatten(), pc.list_parent_indices(types)
    wanted = pc.equal(items.field("Name"), kind)
    values = np.full(rows, np.nan)
    values[line.filter(wanted).to_numpy()] = items.field("Confidence").filter(wanted).to_numpy()
    return pa.array(values, mask=np.isnan(values))


def _top(labels: pa.Array, rows: int) -> tuple[pa.Array, pa.Array]:
    """Row of the first label with the highest confidence of each line, and that confidence."""
    line, confidence = (
        pc.list_parent_indices(labels).to_numpy(),
        labels.flatten().field("Confidence").to_numpy(),
    )
    order = np.lexsort((np.arange(len(line)), -confidence, line))
    first = order[np.flatnonzero(np.diff(line[order], prepend=-1))]
    top = np.full(rows, -1)
    top[line[first]] = first
    index = pa.array(top, mask=top < 0)
    return index, labels.flatten().field("Confidence").take(index)


def _constant(value: Any, kind: pa.DataType, rows: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, kind), rows)


def _messages(moderated: pa.Array, broken: pa.Array, number: pa.Array) -> pa.Array:
    reason = pc.if_else(broken, f" of the results: {spec.NOT_JSON}", f" of the results: {spec.NO_ANSWER}")
    text = pc.binary_join_element_wise("line ", number.cast(pa.string()), reason, "")
    return pc.if_else(moderated, None, text)


def _images(table: pa.Table, broken: pa.Array, path: Path) -> dict[str, pa.Array]:
    rows = table.num_rows
    ref, answer = (column.combine_chunks() for column in table.columns)
    moderated = answer.is_valid()
    labels, version, types = (answer.field(n) for n in range(3))
    labels, types = (pc.if_else(moderated, column, None) for column in (labels, types))
    number = pa.array(np.arange(1, rows + 1))
    illustrated, animated = (_by_line(types, kind, rows) for kind in ("Illustrated", "Animated"))
    kind = pc.add(
        illustrated.is_valid().cast(pa.int8()),
        pc.multiply(animated.is_valid().cast(pa.int8()), pa.scalar(2, pa.int8())),
    )
    top, highest = _top(labels, rows)
    parts = pc.extract_regex(ref, r"^s3://(?P<bucket>[^/]+)/(?P<key>(?s:.*))$")
    others = pc.subtract(
        pc.list_value_length(types),
        pc.add(illustrated.is_valid().cast(pa.int32()), animated.is_valid().cast(pa.int32())),
    )
    names = labels.flatten().field("Name").take(top)
    time = datetime.fromisoformat(spec.COMPLETED_AT)
    return {
        "load_id": _constant(spec.LOAD_ID, pa.string(), rows),
        "dt": _constant(date.fromisoformat(spec.DT), pa.date32(), rows),
        "source_ref": ref,
        "bucket": parts.field("bucket"),
        "key": parts.field("key"),
        "etag": pa.nulls(rows, pa.string()),
        "status": pc.if_else(moderated, "moderated", "failed"),
        "error_code": pc.if_else(moderated, None, "MalformedResult"),
        "error_message": _messages(moderated, broken, number),
        "content_type": pc.if_else(moderated, pa.array(spec.CONTENT_TYPES).take(kind), None),
        "illustrated_confidence": illustrated,
        "animated_confidence": animated,
        "label_count": pc.list_value_length(labels).fill_null(0),
        "top_l1": _PATH[1].take(pc.index_in(names, _NAMES)),
        "max_confidence": highest,
        "backend": _constant("bulk", pa.string(), rows),
        "model_version": pc.if_else(moderated, version, None),
        "adapter": pa.nulls(rows, pa.string()),
        "job_id": _constant(spec.job_id(path.stem), pa.string(), rows),
        "moderated_at": _constant(time, pa.timestamp("us", "UTC"), rows),
        "min_confidence": _constant(spec.MIN_CONFIDENCE, pa.float64(), rows),
        "size_bytes": pa.nulls(rows, pa.int64()),
        "last_modified": pa.nulls(rows, pa.timestamp("us", "UTC")),
        "manifest_id": _constant(path.stem, pa.string(), rows),
        "line_number": number,
        "content_types_answered": pc.if_else(moderated, types.is_valid(), None),
        "other_content_types": pc.if_else(moderated, others, None),
        "unknown_labels": _constant(0, pa.int32(), rows),
    }  # fmt: skip


def _labels(table: pa.Table, images: dict[str, pa.Array]) -> tuple[pa.Array, dict[str, pa.Array]]:
    """The level of each label, and its columns."""
    answer = table.column(1).combine_chunks()
    labels = pc.if_else(answer.is_valid(), answer.field(0), None)
    line, items = pc.list_parent_indices(labels), labels.flatten()
    name, parent = items.field("Name"), items.field("ParentName")
    place = pc.index_in(name, _NAMES)
    path = {n: column.take(place) for n, column in _PATH.items()}
    false = _constant(False, pa.bool_(), len(items))
    inherited = ("load_id", "dt", "content_type", "source_ref", "job_id", "manifest_id", "line_number")
    columns = {column: images[column].take(line) for column in inherited}
    columns |= {f"l{n}": column for n, column in path.items()}
    columns |= {"confidence": items.field("Confidence"), "name": name}
    columns["parent_name"] = pc.if_else(pc.equal(parent, ""), None, parent)
    flags = ("unknown_label", "respelled", "path_derived", "level_derived", "ambiguous_parent")
    columns |= dict.fromkeys(flags, false) | {f"v7_l{n}": column for n, column in path.items()}
    columns |= {"v7_ambiguous": false, "model_version": images["model_version"].take(line)}
    return items.field("TaxonomyLevel"), columns


class _Writers:
    """Buffers rows to row groups of the wanted size."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._open: dict[str, pq.ParquetWriter] = {}
        self._waiting: dict[str, list[pa.Table]] = {}

    def add(self, name: str, rows: pa.Table) -> None:
        waiting = self._waiting.setdefault(name, [])
        waiting.append(rows)
        if sum(table.num_rows for table in waiting) >= spec.ROW_GROUP_ROWS:
            self._flush(name)

    def close(self) -> None:
        for name in self._waiting:
            self._flush(name)
            self._open[name].close()

    def _flush(self, name: str) -> None:
        if not self._waiting[name]:
            return
        rows = pa.concat_tables(self._waiting[name])
        if name not in self._open:
            path = self._out / f"{name}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            options = {"compression": "zstd", "compression_level": 1, "use_dictionary": _DICTIONARY}
            self._open[name] = pq.ParquetWriter(path, rows.schema, store_schema=False, **options)
        self._open[name].write_table(rows, row_group_size=spec.ROW_GROUP_ROWS)
        self._waiting[name] = []


def main(folder: str, out: Path) -> None:
    writers = _Writers(out)
    for path in spec.results_files(folder):
        table, broken = _read(path)
        images = _images(table, broken, path)
        named = pc.and_kleene(images["source_ref"].is_valid(), pc.not_equal(images["source_ref"], ""))
        writers.add("images", pa.table(images).filter(named))
        levels, columns = _labels(table, images)
        labels = pa.table(columns)
        for level in (1, 2, 3):
            mask = pc.equal(levels, level)
            rows = labels.drop_columns([f"l{n}" for n in range(level + 1, 4)]).filter(mask)
            for kind in spec.CONTENT_TYPES:
                part = rows.filter(pc.equal(rows.column("content_type"), kind))
                if part.num_rows:
                    writers.add(f"labels_l{level}/content_type={kind}/dt={spec.DT}/0", part)
    writers.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
