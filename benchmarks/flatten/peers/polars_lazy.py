"""Polars: lines with their numbers, decoded with an explicit schema (scan_ndjson is many times slower)."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

sys.path.insert(0, str(Path(__file__).parents[1]))

import spec

_LABEL = pl.Struct(
    {"Confidence": pl.Float64, "Name": pl.String, "ParentName": pl.String, "TaxonomyLevel": pl.Int8}
)
_TYPE = pl.Struct({"Confidence": pl.Float64, "Name": pl.String})
_ANSWER = pl.Struct(
    {"ModerationLabels": pl.List(_LABEL), "ModerationModelVersion": pl.String, "ContentTypes": pl.List(_TYPE)}
)
_LINE = pl.Struct({"source-ref": pl.String, "detect-moderation-labels": _ANSWER})
_WRITE = {"compression": "zstd", "compression_level": 1, "row_group_size": spec.ROW_GROUP_ROWS, "mkdir": True}


def _confidence(kind: str) -> pl.Expr:
    element = pl.element().struct
    types = pl.col("answer").struct.field("ContentTypes")
    return types.list.eval(element.field("Confidence").filter(element.field("Name") == kind)).list.max()


def _lines(folder: str) -> pl.DataFrame:
    line, answer = pl.col("line"), pl.col("answer")
    # json_decode gives up at the first bad line, so broken ones must be told by their look.
    whole = line.str.ends_with("}}") | (line.str.ends_with("}") & ~line.str.contains("detect-", literal=True))
    number = pl.lit("line ") + pl.col("line_number").cast(pl.String)
    text = (
        pl.when("broken").then(number + f" of the results: {spec.NOT_JSON}")
        .when(answer.is_null()).then(number + f" of the results: {spec.NO_ANSWER}")
    )  # fmt: skip
    illustrated, animated = pl.col("illustrated_confidence"), pl.col("animated_confidence")
    kind = (
        pl.when(answer.is_null()).then(None)
        .when(illustrated.is_not_null() & animated.is_not_null()).then(pl.lit("illustrated_animated"))
        .when(illustrated.is_not_null()).then(pl.lit("illustrated"))
        .when(animated.is_not_null()).then(pl.lit("animated")).otherwise(pl.lit("none"))
    )  # fmt: skip
    return (
        pl.scan_lines(spec.results_files(folder), row_index_name="row", include_file_paths="file")
        .with_columns(broken=~whole)
        .with_columns(entry=pl.when(whole).then(line).str.json_decode(_LINE))
        .with_columns(
            answer=pl.col("entry").struct.field("detect-moderation-labels"),
            source_ref=pl.coalesce(
                pl.col("entry").struct.field("source-ref"),
                pl.when("broken").then(line).str.extract('"source-ref":"([^"]*)"'),
            ),
            manifest_id=pl.col("file").str.extract(r"([^/]+)\.jsonl$"),
            line_number=(pl.col("row").cast(pl.Int64) - pl.col("row").min().over("file") + 1),
        )
        .drop("line", "entry", "row", "file")
        .with_columns(
            illustrated_confidence=_confidence("Illustrated"),
            animated_confidence=_confidence("Animated"),
            labels=answer.struct.field("ModerationLabels"),
            model_version=answer.struct.field("ModerationModelVersion"),
            types=answer.struct.field("ContentTypes").list.len().cast(pl.Int32),
            job_id="job-" + pl.col("manifest_id"),
            error_message=text,
        )
        .with_columns(content_type=kind, moderated=answer.is_not_null())
        .drop("answer")
        .collect(engine="streaming")
    )


def _images(lines: pl.DataFrame, taxonomy: pl.DataFrame) -> pl.LazyFrame:
    confidences = pl.col("labels").list.eval(pl.element().struct.field("Confidence"))
    completed_at = datetime.fromisoformat(spec.COMPLETED_AT).replace(tzinfo=UTC)
    top = pl.col("labels").list.get(confidences.list.arg_max(), null_on_oob=True).struct.field("Name")
    counted = (
        pl.col("types")
        - pl.col("illustrated_confidence").is_not_null()
        - pl.col("animated_confidence").is_not_null()
    )
    return (
        lines.lazy()
        .filter(pl.col("source_ref") != "")
        .with_columns(top=top, max_confidence=confidences.list.max())
        .join(taxonomy.lazy().select(top="name", top_l1="l1"), on="top", how="left")
        .select(
            load_id=pl.lit(spec.LOAD_ID),
            dt=pl.lit(date.fromisoformat(spec.DT)),
            source_ref="source_ref",
            bucket=pl.col("source_ref").str.extract("^s3://([^/]+)/"),
            key=pl.col("source_ref").str.extract("^s3://[^/]+/(?s:(.*))$"),
            etag=pl.lit(None, pl.String),
            status=pl.when("moderated").then(pl.lit("moderated")).otherwise(pl.lit("failed")),
            error_code=pl.when(~pl.col("moderated")).then(pl.lit("MalformedResult")),
            error_message="error_message",
            content_type="content_type",
            illustrated_confidence="illustrated_confidence",
            animated_confidence="animated_confidence",
            label_count=pl.col("labels").list.len().fill_null(0).cast(pl.Int32),
            top_l1="top_l1",
            max_confidence="max_confidence",
            backend=pl.lit("bulk"),
            model_version="model_version",
            adapter=pl.lit(None, pl.String),
            job_id="job_id",
            moderated_at=pl.lit(completed_at, pl.Datetime("us", "UTC")),
            min_confidence=pl.lit(spec.MIN_CONFIDENCE),
            size_bytes=pl.lit(None, pl.Int64),
            last_modified=pl.lit(None, pl.Datetime("us", "UTC")),
            manifest_id="manifest_id",
            line_number="line_number",
            content_types_answered=pl.when("moderated").then(pl.col("types").is_not_null()),
            other_content_types=pl.when("moderated").then(counted).cast(pl.Int32),
            unknown_labels=pl.lit(0, pl.Int32),
        )
    )  # fmt: skip


def _labels(exploded: pl.DataFrame, level: int) -> pl.LazyFrame:
    false = pl.lit(False)
    return (
        exploded.lazy()
        .filter(pl.col("TaxonomyLevel") == level)
        .select(
            pl.lit(spec.LOAD_ID).alias("load_id"),
            pl.lit(date.fromisoformat(spec.DT)).alias("dt"),
            "content_type",
            "source_ref",
            "job_id",
            "manifest_id",
            "line_number",
            *(f"l{n}" for n in range(1, level + 1)),
            confidence="Confidence",
            name="Name",
            parent_name=pl.when(pl.col("ParentName") != "").then("ParentName"),
            unknown_label=false,
            respelled=false,
            path_derived=false,
            level_derived=false,
            ambiguous_parent=false,
            v7_l1="l1",
            v7_l2="l2",
            v7_l3="l3",
            v7_ambiguous=false,
            model_version="model_version",
        )
    )


def main(folder: str, out: Path) -> None:
    taxonomy = pl.DataFrame(spec.taxonomy(), schema_overrides={"l3": pl.String})
    lines = _lines(folder)
    _images(lines, taxonomy).sink_parquet(out / "images.parquet", maintain_order=False, **_WRITE)
    exploded = (
        lines.lazy()
        .filter(pl.col("labels").list.len() > 0)
        .select(
            "content_type", "source_ref", "job_id", "manifest_id", "line_number", "model_version", "labels"
        )
        .explode("labels")
        .unnest("labels")
        .join(taxonomy.lazy(), left_on="Name", right_on="name", how="left")
        .collect(engine="streaming")
    )
    for level in (1, 2, 3):
        target = pl.PartitionBy(out / f"labels_l{level}", key=["content_type", "dt"], include_key=True)
        _labels(exploded, level).sink_parquet(target, maintain_order=False, **_WRITE)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
