"""PySpark on this machine: text lines with their numbers, from_json with an explicit schema."""

from __future__ import annotations

import sys
from pathlib import Path

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as f

sys.path.insert(0, str(Path(__file__).parents[1]))

import spec

_ENTRY = (
    "`source-ref` STRING, `detect-moderation-labels` STRUCT<"
    "ModerationLabels ARRAY<STRUCT<"
    "Confidence DOUBLE, Name STRING, ParentName STRING, TaxonomyLevel TINYINT>>, "
    "ModerationModelVersion STRING, ContentTypes ARRAY<STRUCT<Confidence DOUBLE, Name STRING>>>, "
    "broken STRING"
)


def _session() -> SparkSession:
    return (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.memory", "4g")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.parquet.compression.codec", "zstd")
        .config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
        .config("parquet.compression.codec.zstd.level", "1")
        .getOrCreate()
    )


def _confidence(kind: str) -> Column:
    matching = f.filter("answer.ContentTypes", lambda item: item.Name == kind)
    return f.array_max(f.transform(matching, lambda item: item.Confidence))


def _lines(spark: SparkSession, folder: str) -> DataFrame:
    # The reader keeps the order of lines within a file; ids that grow with it become line numbers.
    in_file = Window.partitionBy("file").orderBy("id")
    mode = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": "broken"}
    kind = (
        f.when(f.col("answer").isNull(), None)
        .when(f.col("illustrated").isNotNull() & f.col("animated").isNotNull(), "illustrated_animated")
        .when(f.col("illustrated").isNotNull(), "illustrated")
        .when(f.col("animated").isNotNull(), "animated")
        .otherwise("none")
    )
    broken = f.col("entry.broken").isNotNull()
    return (
        spark.read.text(folder)
        .select("value", f.input_file_name().alias("file"), f.monotonically_increasing_id().alias("id"))
        .withColumn("entry", f.from_json("value", _ENTRY, mode))
        .withColumn("broken", broken)
        .withColumn("line_number", f.row_number().over(in_file).cast("long"))
        .withColumn("manifest_id", f.regexp_extract("file", r"([^/]+)\.jsonl$", 1))
        .withColumn("answer", f.when(~f.col("broken"), f.col("entry.detect-moderation-labels")))
        .withColumn(
            "source_ref",
            f.when(f.col("broken"), f.regexp_extract("value", '"source-ref":"([^"]*)"', 1)).otherwise(
                f.col("entry.source-ref")
            ),
        )
        .withColumn("illustrated", _confidence("Illustrated"))
        .withColumn("animated", _confidence("Animated"))
        .withColumn("content_type", kind)
        .withColumn("job_id", f.concat(f.lit("job-"), "manifest_id"))
        .withColumn("max_confidence", f.array_max("answer.ModerationLabels.Confidence"))
        .drop("value", "entry", "file", "id")
        .cache()
    )


def _images(lines: DataFrame, taxonomy: DataFrame) -> DataFrame:
    moderated = f.col("answer").isNotNull()
    types = f.size("answer.ContentTypes")
    others = types - f.col("illustrated").isNotNull().cast("int") - f.col("animated").isNotNull().cast("int")
    reason = f.when(f.col("broken"), spec.NOT_JSON).otherwise(spec.NO_ANSWER)
    message = f.format_string("line %d of the results: %s", "line_number", reason)
    first = f.array_position("answer.ModerationLabels.Confidence", f.col("max_confidence")).cast("int")
    top = f.when(
        moderated & (f.size("answer.ModerationLabels") > 0),
        f.element_at("answer.ModerationLabels.Name", first),
    )
    l1 = f.broadcast(taxonomy.select(f.col("name").alias("top"), f.col("l1").alias("top_l1")))
    return (
        lines.where("source_ref != ''")
        .withColumn("top", top)
        .join(l1, "top", "left")
        .select(
            f.lit(spec.LOAD_ID).alias("load_id"),
            f.lit(spec.DT).cast("date").alias("dt"),
            "source_ref",
            f.regexp_extract("source_ref", "^s3://([^/]+)/", 1).alias("bucket"),
            f.regexp_extract("source_ref", "^s3://[^/]+/(?s:(.*))$", 1).alias("key"),
            f.lit(None).cast("string").alias("etag"),
            f.when(moderated, "moderated").otherwise("failed").alias("status"),
            f.when(~moderated, "MalformedResult").alias("error_code"),
            f.when(~moderated, message).alias("error_message"),
            "content_type",
            f.col("illustrated").alias("illustrated_confidence"),
            f.col("animated").alias("animated_confidence"),
            f.when(moderated, f.size("answer.ModerationLabels")).otherwise(0).alias("label_count"),
            "top_l1",
            "max_confidence",
            f.lit("bulk").alias("backend"),
            f.col("answer.ModerationModelVersion").alias("model_version"),
            f.lit(None).cast("string").alias("adapter"),
            "job_id",
            f.lit(spec.COMPLETED_AT).cast("timestamp").alias("moderated_at"),
            f.lit(spec.MIN_CONFIDENCE).alias("min_confidence"),
            f.lit(None).cast("long").alias("size_bytes"),
            f.lit(None).cast("timestamp").alias("last_modified"),
            "manifest_id",
            "line_number",
            f.when(moderated, f.col("answer.ContentTypes").isNotNull()).alias("content_types_answered"),
            f.when(moderated, others).alias("other_content_types"),
            f.lit(0).alias("unknown_labels"),
        )
    )  # fmt: skip


def _labels(lines: DataFrame, taxonomy: DataFrame, level: int) -> DataFrame:
    false = [f.lit(False).alias(name) for name in (
        "unknown_label", "respelled", "path_derived", "level_derived", "ambiguous_parent")]  # fmt: skip
    return (
        lines.select("*", f.explode("answer.ModerationLabels").alias("label"))
        .where(f.col("label.TaxonomyLevel") == level)
        .withColumn("name", f.col("label.Name"))
        .join(f.broadcast(taxonomy.drop("level")), "name")
        .select(
            f.lit(spec.LOAD_ID).alias("load_id"),
            f.lit(spec.DT).cast("date").alias("dt"),
            "content_type",
            f.col("content_type").alias("folder"),
            "source_ref",
            "job_id",
            "manifest_id",
            "line_number",
            *(f"l{n}" for n in range(1, level + 1)),
            f.col("label.Confidence").alias("confidence"),
            "name",
            f.nullif(f.col("label.ParentName"), f.lit("")).alias("parent_name"),
            *false,
            *(f.col(f"l{n}").alias(f"v7_l{n}") for n in (1, 2, 3)),
            f.lit(False).alias("v7_ambiguous"),
            f.col("answer.ModerationModelVersion").alias("model_version"),
        )
    )


def main(folder: str, out: Path) -> None:
    spark = _session()
    spark.sparkContext.setLogLevel("ERROR")
    schema = "name STRING, level TINYINT, l1 STRING, l2 STRING, l3 STRING"
    taxonomy = spark.createDataFrame([tuple(entry.values()) for entry in spec.taxonomy()], schema)
    lines = _lines(spark, folder)
    _images(lines, taxonomy).write.parquet(f"{out}/images")
    for level in (1, 2, 3):
        _labels(lines, taxonomy, level).write.partitionBy("folder").parquet(f"{out}/labels_l{level}")
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
