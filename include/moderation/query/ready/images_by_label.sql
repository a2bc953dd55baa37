-- In how many images was each label found, as a tree of three levels, by each image's latest answer (at the thresholds in use)?
WITH superseded AS (
    -- Answers that a later one of the same image replaced. To rank only images with several is faster: they are few.
    SELECT load_id, manifest_id, line_number
    FROM (
        SELECT load_id, manifest_id, line_number,
            ROW_NUMBER() OVER (PARTITION BY source_ref ORDER BY moderated_at DESC NULLS LAST, load_id DESC) AS recency
        FROM images
        WHERE status = 'moderated' AND source_ref IN (
            SELECT source_ref FROM images WHERE status = 'moderated' GROUP BY source_ref HAVING COUNT(*) > 1
        )
    ) AS ranked
    WHERE recency > 1
),
found AS (
    -- Level 3 first: it gives the columns their types.
    SELECT load_id, manifest_id, line_number, source_ref,
        COALESCE(v7_l1, l1, 'unknown') AS l1,
        COALESCE(v7_l2, l2, 'unknown') AS l2,
        COALESCE(v7_l3, l3, name) AS l3
    FROM labels_l3_in_use
    UNION ALL
    SELECT load_id, manifest_id, line_number, source_ref,
        COALESCE(v7_l1, l1, 'unknown'), COALESCE(v7_l2, l2, name), v7_l3
    FROM labels_l2_in_use
    UNION ALL
    SELECT load_id, manifest_id, line_number, source_ref, COALESCE(v7_l1, l1, name), NULL, NULL
    FROM labels_l1_in_use
),
answers AS (
    SELECT source_ref, l1, l2, l3
    FROM found
    WHERE NOT EXISTS (
        SELECT 1
        FROM superseded
        WHERE superseded.load_id = found.load_id
            AND superseded.manifest_id = found.manifest_id
            AND superseded.line_number = found.line_number
    )
)
SELECT l1, l2, l3, COUNT(*) AS images
FROM (SELECT DISTINCT source_ref, l1, l2, l3 FROM answers WHERE l3 IS NOT NULL) AS three_levels
GROUP BY l1, l2, l3
UNION ALL
SELECT l1, l2, NULL, COUNT(*)
FROM (SELECT DISTINCT source_ref, l1, l2 FROM answers WHERE l2 IS NOT NULL) AS two_levels
GROUP BY l1, l2
UNION ALL
SELECT l1, NULL, NULL, COUNT(*)
FROM (SELECT DISTINCT source_ref, l1 FROM answers) AS one_level
GROUP BY l1
ORDER BY l1, l2 NULLS FIRST, l3 NULLS FIRST
