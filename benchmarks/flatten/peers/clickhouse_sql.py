"""chdb (ClickHouse in the process): lines as strings with their numbers, decoded by JSONExtract."""

from __future__ import annotations

import sys
from pathlib import Path

from chdb import session

sys.path.insert(0, str(Path(__file__).parents[1]))

import spec

_LABEL = "Tuple(Confidence Float64, Name String, ParentName String, TaxonomyLevel Int8)"
_ANSWER = (
    f"Tuple(ModerationLabels Array({_LABEL}), ModerationModelVersion String, "
    "ContentTypes Array(Tuple(Confidence Float64, Name String)))"
)
_ENTRY = f"Tuple(`source-ref` String, `detect-moderation-labels` {_ANSWER})"

_LINES = f"""
CREATE TABLE lines ENGINE = Memory AS
SELECT JSONExtract(line, '{_ENTRY}') AS entry, splitByChar('.', _file)[1] AS manifest_id,
    toInt64(_row_number + 1) AS line_number, concat('job-', manifest_id) AS job_id,
    endsWith(line, '}}}}') AS moderated,
    NOT moderated AND (position(line, 'detect-') > 0 OR NOT endsWith(line, '}}')) AS broken,
    if(broken, extract(line, '"source-ref":"([^"]*)"'), entry.1) AS source_ref,
    entry.2.1 AS labels, entry.2.3 AS types,
    has(types.2, 'Illustrated') AS has_illustrated, has(types.2, 'Animated') AS has_animated,
    if(has_illustrated, arrayMax(arrayMap(x -> if(x.2 = 'Illustrated', x.1, -1), types)), NULL)
        AS illustrated,
    if(has_animated, arrayMax(arrayMap(x -> if(x.2 = 'Animated', x.1, -1), types)), NULL) AS animated,
    if(moderated, multiIf(has_illustrated AND has_animated, 'illustrated_animated',
        has_illustrated, 'illustrated', has_animated, 'animated', 'none'), NULL) AS content_type,
    arrayMax(labels.1) AS top_confidence
FROM file('FOLDER/*.jsonl', LineAsString, 'line String')
"""

_IMAGES = """
SELECT '{load_id}' AS load_id, toDate32('{dt}') AS dt, source_ref,
    splitByChar('/', source_ref)[3] AS bucket,
    substring(source_ref, 7 + length(bucket)) AS key, CAST(NULL, 'Nullable(String)') AS etag,
    if(moderated, 'moderated', 'failed') AS status, if(moderated, NULL, 'MalformedResult') AS error_code,
    if(moderated, NULL,
       concat('line ', line_number, ' of the results: ', if(broken, '{not_json}', '{no_answer}')))
        AS error_message,
    content_type, illustrated AS illustrated_confidence, animated AS animated_confidence,
    toInt32(length(labels)) AS label_count,
    if(empty(labels), NULL, transform(labels.2[indexOf(labels.1, top_confidence)], {names}, {l1s}, ''))
        AS top_l1,
    if(empty(labels), NULL, top_confidence) AS max_confidence, 'bulk' AS backend,
    if(moderated, entry.2.2, NULL) AS model_version, CAST(NULL, 'Nullable(String)') AS adapter, job_id,
    toDateTime64('{completed_at}', 6, 'UTC') AS moderated_at, {min_confidence} AS min_confidence,
    CAST(NULL, 'Nullable(Int64)') AS size_bytes, CAST(NULL, 'Nullable(DateTime64(6, \\'UTC\\'))')
        AS last_modified,
    manifest_id, line_number, if(moderated, true, NULL) AS content_types_answered,
    if(moderated, toInt32(length(types)) - has_illustrated - has_animated, NULL)::Nullable(Int32)
        AS other_content_types,
    toInt32(0) AS unknown_labels
FROM lines WHERE source_ref != ''
"""

_LABELS = """
SELECT '{load_id}' AS load_id, toDate32('{dt}') AS dt, assumeNotNull(content_type) AS content_type,
    source_ref, job_id, manifest_id, line_number, {path}, label.1 AS confidence, label.2 AS name,
    nullIf(label.3, '') AS parent_name,
    false AS unknown_label, false AS respelled, false AS path_derived, false AS level_derived,
    false AS ambiguous_parent, transform(name, {names}, {l1s}, '') AS v7_l1,
    nullIf(transform(name, {names}, {l2s}, ''), '') AS v7_l2,
    nullIf(transform(name, {names}, {l3s}, ''), '') AS v7_l3,
    false AS v7_ambiguous, entry.2.2 AS model_version
FROM (SELECT * FROM lines WHERE notEmpty(labels)) ARRAY JOIN labels AS label
WHERE label.4 = {level}
"""

_SETTINGS = f"""
SET max_threads = 2, output_format_parquet_compression_method = 'zstd',
    output_format_parquet_row_group_size = {spec.ROW_GROUP_ROWS}, output_format_parquet_string_as_string = 1,
    output_format_compression_level = 1, output_format_parquet_parallel_encoding = 1
"""


def _strings(column: str) -> str:
    return "[" + ", ".join(f"'{entry[column] or ''}'" for entry in spec.taxonomy()) + "]"


def main(folder: str, out: Path) -> None:
    values = {
        "load_id": spec.LOAD_ID,
        "dt": spec.DT,
        "completed_at": spec.COMPLETED_AT,
        "min_confidence": spec.MIN_CONFIDENCE,
        "not_json": spec.NOT_JSON,
        "no_answer": spec.NO_ANSWER,
        "names": _strings("name"),
        **{f"l{n}s": _strings(f"l{n}") for n in (1, 2, 3)},
    }
    out.mkdir(parents=True)
    chdb = session.Session()
    chdb.query(_SETTINGS)
    chdb.query("CREATE DATABASE IF NOT EXISTS work ENGINE = Atomic")
    chdb.query("USE work")
    chdb.query(_LINES.replace("FOLDER", folder))
    chdb.query(f"INSERT INTO FUNCTION file('{out}/images.parquet', Parquet) {_IMAGES.format(**values)}")
    for level in (1, 2, 3):
        path = ", ".join(f"v7_l{n} AS l{n}" for n in range(1, level + 1))
        for kind in spec.CONTENT_TYPES:
            target = out / f"labels_l{level}" / f"content_type={kind}" / f"dt={spec.DT}"
            target.mkdir(parents=True)
            rows = _LABELS.format(**values, level=level, path=path) + f" AND content_type = '{kind}'"
            chdb.query(f"INSERT INTO FUNCTION file('{target}/0.parquet', Parquet) {rows}")
    chdb.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
