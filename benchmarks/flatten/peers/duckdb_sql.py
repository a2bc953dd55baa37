"""DuckDB: one pass over the JSON with an explicit schema, then one COPY a table."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

sys.path.insert(0, str(Path(__file__).parents[1]))

import spec

_LABEL = "STRUCT(Confidence DOUBLE, Name VARCHAR, ParentName VARCHAR, TaxonomyLevel TINYINT)"
_ANSWER = (
    f"STRUCT(ModerationLabels {_LABEL}[], ModerationModelVersion VARCHAR, "
    "ContentTypes STRUCT(Confidence DOUBLE, Name VARCHAR)[])"
)

# `ignore_errors` leaves a row of nulls for each bad line, so line numbers stay right; the text of these few
# is then read once more.
_LINES = f"""
CREATE TEMP TABLE parsed AS
SELECT row_number() OVER () AS row, filename, "source-ref" AS source_ref, "detect-moderation-labels" AS answer
FROM read_ndjson(getvariable('files'), ignore_errors=true, filename=true,
    columns={{'source-ref': 'VARCHAR', 'detect-moderation-labels': '{_ANSWER}'}});

CREATE TEMP TABLE broken AS
SELECT row, regexp_extract(line, '"source-ref":"([^"]*)"', 1) AS source_ref
FROM (SELECT row_number() OVER () AS row, line
      FROM read_csv(getvariable('files'), columns={{'line': 'VARCHAR'}}, delim=chr(1), quote='', escape='',
                    header=false, auto_detect=false))
WHERE row IN (SELECT row FROM parsed WHERE source_ref IS NULL);

CREATE TEMP TABLE files AS
SELECT filename, min(row) - 1 AS first, parse_filename(filename, true) AS manifest_id
FROM parsed GROUP BY filename;

CREATE TEMP TABLE lines AS
SELECT row - first AS line_number, manifest_id, 'job-' || manifest_id AS job_id,
    coalesce(parsed.source_ref, broken.source_ref) AS source_ref, parsed.source_ref IS NULL AS broken,
    answer IS NOT NULL AS moderated, answer.ModerationLabels AS labels,
    answer.ModerationModelVersion AS model_version, len(answer.ContentTypes)::INT AS types,
    list_max([x.Confidence for x in answer.ContentTypes if x.Name = 'Illustrated']) AS illustrated,
    list_max([x.Confidence for x in answer.ContentTypes if x.Name = 'Animated']) AS animated,
    CASE WHEN answer IS NULL THEN NULL
         WHEN illustrated IS NOT NULL AND animated IS NOT NULL THEN 'illustrated_animated'
         WHEN illustrated IS NOT NULL THEN 'illustrated' WHEN animated IS NOT NULL THEN 'animated'
         ELSE 'none' END AS content_type,
    list_max([x.Confidence for x in labels]) AS max_confidence
FROM parsed JOIN files USING (filename) LEFT JOIN broken USING (row);
"""

_IMAGES = """
SELECT '{load_id}' AS load_id, DATE '{dt}' AS dt, lines.source_ref,
    split_part(lines.source_ref, '/', 3) AS bucket,
    substr(lines.source_ref, len(split_part(lines.source_ref, '/', 3)) + 7) AS key, NULL::VARCHAR AS etag,
    CASE WHEN moderated THEN 'moderated' ELSE 'failed' END AS status,
    CASE WHEN NOT moderated THEN 'MalformedResult' END AS error_code,
    CASE WHEN broken THEN format('line {{}} of the results: {not_json}', line_number)
         WHEN NOT moderated THEN format('line {{}} of the results: {no_answer}', line_number) END
        AS error_message,
    content_type, illustrated AS illustrated_confidence, animated AS animated_confidence,
    coalesce(len(labels), 0)::INT AS label_count, top.l1 AS top_l1, max_confidence, 'bulk' AS backend,
    model_version, NULL::VARCHAR AS adapter, job_id, TIMESTAMPTZ '{completed_at}+00' AS moderated_at,
    {min_confidence}::DOUBLE AS min_confidence, NULL::BIGINT AS size_bytes,
    NULL::TIMESTAMPTZ AS last_modified, manifest_id, line_number,
    CASE WHEN moderated THEN types IS NOT NULL END AS content_types_answered,
    CASE WHEN moderated THEN types - (illustrated IS NOT NULL)::INT - (animated IS NOT NULL)::INT END
        AS other_content_types, 0::INT AS unknown_labels
FROM lines LEFT JOIN taxonomy AS top
    ON top.name = labels[list_position([x.Confidence for x in labels], max_confidence)].Name
WHERE source_ref != ''
"""

_EXPLODED = """
CREATE TEMP TABLE exploded AS
SELECT content_type, source_ref, job_id, manifest_id, line_number, model_version,
    label.Confidence AS confidence, label.Name AS name, nullif(label.ParentName, '') AS parent_name,
    label.TaxonomyLevel AS level
FROM (SELECT *, unnest(labels) AS label FROM lines WHERE len(labels) > 0)
"""

_LABELS = """
SELECT '{load_id}' AS load_id, DATE '{dt}' AS dt, content_type, source_ref, job_id, manifest_id, line_number,
    {path}, confidence, name, parent_name, false AS unknown_label, false AS respelled, false AS path_derived,
    false AS level_derived, false AS ambiguous_parent, l1 AS v7_l1, l2 AS v7_l2, l3 AS v7_l3,
    false AS v7_ambiguous, model_version
FROM exploded JOIN taxonomy USING (name)
WHERE exploded.level = {level}
"""

_OPTIONS = f"FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, ROW_GROUP_SIZE {spec.ROW_GROUP_ROWS}"


def main(folder: str, out: Path) -> None:
    values = {
        "load_id": spec.LOAD_ID,
        "dt": spec.DT,
        "completed_at": spec.COMPLETED_AT,
        "min_confidence": spec.MIN_CONFIDENCE,
        "not_json": spec.NOT_JSON,
        "no_answer": spec.NO_ANSWER,
    }
    connection = duckdb.connect(config={"threads": 2})
    files = ", ".join(f"'{path}'" for path in spec.results_files(folder))
    connection.execute(f"SET VARIABLE files = [{files}]")
    connection.execute(
        "CREATE TEMP TABLE taxonomy (name VARCHAR, level TINYINT, l1 VARCHAR, l2 VARCHAR, l3 VARCHAR)"
    )
    connection.executemany(
        "INSERT INTO taxonomy VALUES (?, ?, ?, ?, ?)", [list(entry.values()) for entry in spec.taxonomy()]
    )
    connection.execute(_LINES)
    out.mkdir(parents=True)
    connection.execute("SET preserve_insertion_order = false")
    connection.execute(f"COPY ({_IMAGES.format(**values)}) TO '{out}/images.parquet' ({_OPTIONS})")
    connection.execute(_EXPLODED)
    for level in (1, 2, 3):
        path = ", ".join(f"l{n}" for n in range(1, level + 1))
        rows = _LABELS.format(**values, level=level, path=path)
        partition = "PARTITION_BY (content_type, dt), WRITE_PARTITION_COLUMNS true"
        connection.execute(f"COPY ({rows}) TO '{out}/labels_l{level}' ({_OPTIONS}, {partition})")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
