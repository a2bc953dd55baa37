"""pandas: orjson for the lines, one frame of images and one of labels for each file."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1]))

import spec

_SOURCE_REF = re.compile(rb'"source-ref":"([^"]*)"')
_TAXONOMY = pd.DataFrame(spec.taxonomy()).set_index("name")
_FLAGS = ("unknown_label", "respelled", "path_derived", "level_derived", "ambiguous_parent", "v7_ambiguous")


def _read(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    images, labels = [], []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        image: dict[str, Any] = {"line_number": number, "label_count": 0}
        try:
            entry = orjson.loads(line)
            image["source_ref"], answer, reason = (
                entry.get("source-ref"),
                entry.get("detect-moderation-labels"),
                spec.NO_ANSWER,
            )
        except orjson.JSONDecodeError:
            match = _SOURCE_REF.search(line)
            image["source_ref"], answer, reason = match[1].decode() if match else None, None, spec.NOT_JSON
        if not image["source_ref"]:
            continue
        images.append(image)
        if answer is None:
            image |= {"status": "failed", "error_code": "MalformedResult"}
            image["error_message"] = f"line {number} of the results: {reason}"
            continue
        types = {item["Name"]: item["Confidence"] for item in answer["ContentTypes"]}
        kind = spec.CONTENT_TYPES[("Illustrated" in types) + 2 * ("Animated" in types)]
        image |= {
            "status": "moderated",
            "content_type": kind,
            "model_version": answer["ModerationModelVersion"],
        }
        image |= {
            "illustrated_confidence": types.get("Illustrated"),
            "animated_confidence": types.get("Animated"),
        }
        image |= {"content_types_answered": True, "label_count": len(answer["ModerationLabels"])}
        image["other_content_types"] = len(types) - ("Illustrated" in types) - ("Animated" in types)
        if answer["ModerationLabels"]:
            top = max(answer["ModerationLabels"], key=lambda label: label["Confidence"])
            image |= {"max_confidence": top["Confidence"], "top": top["Name"]}
        same = {key: image[key] for key in ("source_ref", "line_number", "content_type", "model_version")}
        labels += [same | label for label in answer["ModerationLabels"]]
    return images, labels


def _table(frame: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pandas(frame.reindex(columns=schema.names), schema, preserve_index=False)


def _schema(names: list[str]) -> pa.Schema:
    special = {
        "dt": pa.date32(), "label_count": pa.int32(), "unknown_labels": pa.int32(),
        "other_content_types": pa.int32(),
        "line_number": pa.int64(), "size_bytes": pa.int64(), "content_types_answered": pa.bool_(),
        "moderated_at": pa.timestamp("us", "UTC"), "last_modified": pa.timestamp("us", "UTC"),
    }  # fmt: skip
    kinds = special | dict.fromkeys(_FLAGS, pa.bool_())
    numbers = {name: pa.float64() for name in names if name.endswith("confidence")}
    return pa.schema([(name, (kinds | numbers).get(name, pa.string())) for name in names])


_IMAGES = _schema([
    "load_id", "dt", "source_ref", "bucket", "key",
    "etag", "status", "error_code", "error_message", "content_type",
    "illustrated_confidence", "animated_confidence", "label_count", "top_l1", "max_confidence",
    "backend", "model_version", "adapter", "job_id", "moderated_at",
    "min_confidence", "size_bytes", "last_modified", "manifest_id", "line_number",
    "content_types_answered", "other_content_types", "unknown_labels",
])  # fmt: skip
_LABELS = {
    level: _schema(
        ["load_id", "dt", "content_type", "source_ref", "job_id", "manifest_id", "line_number"]
        + [f"l{n}" for n in range(1, level + 1)]
        + [
            "confidence",
            "name",
            "parent_name",
            *_FLAGS[:5],
            "v7_l1",
            "v7_l2",
            "v7_l3",
            _FLAGS[5],
            "model_version",
        ]
    )
    for level in (1, 2, 3)
}


def main(folder: str, out: Path) -> None:
    writers: dict[str, pq.ParquetWriter] = {}

    def write(name: str, frame: pd.DataFrame, schema: pa.Schema) -> None:
        if name not in writers:
            path = out / f"{name}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            writers[name] = pq.ParquetWriter(path, schema, compression="zstd", compression_level=1)
        writers[name].write_table(_table(frame, schema), row_group_size=spec.ROW_GROUP_ROWS)

    day = pd.Timestamp(spec.DT).date()
    for path in spec.results_files(folder):
        read, exploded = _read(path)
        same = {
            "load_id": spec.LOAD_ID,
            "dt": day,
            "manifest_id": path.stem,
            "job_id": spec.job_id(path.stem),
        }
        images = pd.DataFrame(read).assign(**same, backend="bulk", min_confidence=spec.MIN_CONFIDENCE)
        images["moderated_at"] = pd.Timestamp(spec.COMPLETED_AT, tz="UTC")
        images[["bucket", "key"]] = images["source_ref"].str.extract(r"^s3://([^/]+)/(.*)$", flags=re.DOTALL)
        images["top_l1"] = images["top"].map(_TAXONOMY["l1"])
        images["unknown_labels"] = 0
        images["last_modified"] = pd.Series(pd.NaT, images.index, dtype="datetime64[us, UTC]")
        write("images", images, _IMAGES)
        labels = pd.DataFrame(exploded).rename(columns={"Confidence": "confidence", "Name": "name"})
        labels = labels.join(_TAXONOMY[["l1", "l2", "l3"]], on="name").assign(
            **same, **dict.fromkeys(_FLAGS, False)
        )
        labels = labels.assign(
            parent_name=labels["ParentName"].replace("", None),
            **{f"v7_l{n}": labels[f"l{n}"] for n in (1, 2, 3)},
        )
        for (level, kind), rows in labels.groupby(["TaxonomyLevel", "content_type"]):
            write(f"labels_l{level}/content_type={kind}/dt={spec.DT}/0", rows, _LABELS[level])
    for writer in writers.values():
        writer.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
