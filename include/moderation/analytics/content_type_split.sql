-- How many images are photos, illustrated or animated, and what share of each was flagged, by the latest answers?
WITH ranked AS (
    SELECT content_type, label_count,
        ROW_NUMBER() OVER (PARTITION BY source_ref ORDER BY moderated_at DESC NULLS LAST, load_id DESC) AS recency
    FROM images
    WHERE status = 'moderated'
)
SELECT
    content_type,
    COUNT(*) AS images,
    CAST(100.0 * COUNT(*) / SUM(COUNT(*)) OVER () AS DECIMAL(9, 4)) AS images_percent,
    CAST(SUM(CASE WHEN label_count > 0 THEN 1 ELSE 0 END) AS BIGINT) AS flagged,
    CAST(100.0 * SUM(CASE WHEN label_count > 0 THEN 1 ELSE 0 END) / COUNT(*) AS DECIMAL(9, 4)) AS flagged_percent
FROM ranked
WHERE recency = 1
GROUP BY content_type
ORDER BY images DESC, content_type
