-- Which images still have no answer because they failed, by error code, with an example of each?
WITH ranked AS (
    SELECT source_ref, status, error_code, error_message, dt,
        -- An image whose answer came in any load is not failed, whatever happened later.
        ROW_NUMBER() OVER (
            PARTITION BY source_ref
            ORDER BY CASE WHEN status = 'moderated' THEN 0 ELSE 1 END, load_id DESC
        ) AS recency
    FROM images
)
SELECT
    COALESCE(error_code, 'unknown') AS error_code,
    COUNT(*) AS images,
    MIN(dt) AS first_day,
    MAX(dt) AS last_day,
    MIN(source_ref) AS example_source_ref,
    MIN(error_message) AS example_message
FROM ranked
WHERE recency = 1 AND status = 'failed'
GROUP BY COALESCE(error_code, 'unknown')
ORDER BY images DESC, error_code
