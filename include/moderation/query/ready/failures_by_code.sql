-- Which images still have no answer because they failed, by error code, with an example of each?
WITH ranked AS (
    SELECT source_ref, status, error_code, error_message, dt,
        -- An image whose answer came in any load is not failed, whatever happened later.
        ROW_NUMBER() OVER (
            PARTITION BY source_ref
            ORDER BY CASE WHEN status = 'moderated' THEN 0 ELSE 1 END, load_id DESC
        ) AS recency
    FROM images
    -- Only images that are in question: they are few.
    WHERE source_ref IN (SELECT source_ref FROM images WHERE status = 'failed')
),
still_failed AS (
    SELECT source_ref, COALESCE(error_code, 'unknown') AS error_code, error_message, dt,
        ROW_NUMBER() OVER (PARTITION BY COALESCE(error_code, 'unknown') ORDER BY source_ref) AS place
    FROM ranked
    WHERE recency = 1 AND status = 'failed'
)
SELECT
    error_code,
    COUNT(*) AS images,
    MIN(dt) AS first_day,
    MAX(dt) AS last_day,
    -- The example and its message are of one image.
    MAX(CASE WHEN place = 1 THEN source_ref END) AS example_source_ref,
    MAX(CASE WHEN place = 1 THEN error_message END) AS example_message
FROM still_failed
GROUP BY error_code
ORDER BY images DESC, error_code
