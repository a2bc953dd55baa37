-- Which images were planned but never analysed, and since when, by their latest load?
WITH ranked AS (
    SELECT source_ref, load_id, dt, status, error_code,
        SUM(CASE WHEN status = 'moderated' THEN 1 ELSE 0 END) OVER (PARTITION BY source_ref) AS answers,
        MIN(dt) OVER (PARTITION BY source_ref) AS first_planned,
        ROW_NUMBER() OVER (PARTITION BY source_ref ORDER BY load_id DESC) AS recency
    FROM images
    -- Only images that are in question: they are few.
    WHERE source_ref IN (SELECT source_ref FROM images WHERE status = 'not_attempted')
)
SELECT
    load_id,
    dt,
    COALESCE(error_code, 'unknown') AS reason,
    COUNT(*) AS images,
    MIN(first_planned) AS oldest_first_planned,
    MIN(source_ref) AS example_source_ref
FROM ranked
WHERE recency = 1 AND status = 'not_attempted' AND answers = 0
GROUP BY load_id, dt, COALESCE(error_code, 'unknown')
ORDER BY dt, load_id, reason
