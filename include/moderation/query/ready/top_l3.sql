-- Which third-level labels were found in the most images, by each image's latest answer (at the thresholds in use)?
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
    SELECT load_id, manifest_id, line_number, source_ref, confidence,
        COALESCE(v7_l1, l1, 'unknown') AS l1,
        COALESCE(v7_l2, l2, 'unknown') AS l2,
        COALESCE(v7_l3, l3, name) AS l3
    FROM labels_l3_in_use
    UNION ALL
    -- Some second-level labels of model 6.1 are third-level labels of 7.0.
    SELECT load_id, manifest_id, line_number, source_ref, confidence, v7_l1, v7_l2, v7_l3
    FROM labels_l2_in_use
    WHERE v7_l3 IS NOT NULL
)
SELECT
    l1,
    l2,
    l3,
    COUNT(DISTINCT source_ref) AS images,
    CAST(AVG(confidence) AS DECIMAL(9, 4)) AS mean_confidence
FROM found
WHERE NOT EXISTS (
    SELECT 1
    FROM superseded
    WHERE superseded.load_id = found.load_id
        AND superseded.manifest_id = found.manifest_id
        AND superseded.line_number = found.line_number
)
GROUP BY l1, l2, l3
ORDER BY images DESC, l1, l2, l3
LIMIT 25
