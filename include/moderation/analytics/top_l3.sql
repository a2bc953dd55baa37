-- Which third-level labels were found in the most images, by each image's latest answer?
WITH ranked AS (
    SELECT load_id, manifest_id, line_number,
        ROW_NUMBER() OVER (PARTITION BY source_ref ORDER BY moderated_at DESC NULLS LAST, load_id DESC) AS recency
    FROM images
    WHERE status = 'moderated'
),
found AS (
    SELECT load_id, manifest_id, line_number, source_ref, confidence,
        COALESCE(v7_l1, l1, 'unknown') AS l1,
        COALESCE(v7_l2, l2, 'unknown') AS l2,
        COALESCE(v7_l3, l3, name) AS l3
    FROM labels_l3
    UNION ALL
    -- Some second-level labels of model 6.1 are third-level labels of 7.0.
    SELECT load_id, manifest_id, line_number, source_ref, confidence, v7_l1, v7_l2, v7_l3
    FROM labels_l2
    WHERE v7_l3 IS NOT NULL
)
SELECT
    found.l1,
    found.l2,
    found.l3,
    COUNT(DISTINCT found.source_ref) AS images,
    CAST(AVG(found.confidence) AS DECIMAL(9, 4)) AS mean_confidence
FROM found
JOIN ranked
    ON ranked.load_id = found.load_id
    AND ranked.manifest_id = found.manifest_id
    AND ranked.line_number = found.line_number
    AND ranked.recency = 1
GROUP BY found.l1, found.l2, found.l3
ORDER BY images DESC, found.l1, found.l2, found.l3
LIMIT 25
