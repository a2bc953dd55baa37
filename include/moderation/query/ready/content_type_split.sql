-- How many images are photos, illustrated or animated, and what share of each was flagged, by the latest answers (at the thresholds in use)?
WITH superseded AS (
    -- Answers that a later one of the same image replaced. To rank only images with several is faster: they are few.
    SELECT load_id, manifest_id, line_number, content_type, flagged
    FROM (
        SELECT load_id, manifest_id, line_number, content_type, flagged,
            ROW_NUMBER() OVER (PARTITION BY source_ref ORDER BY moderated_at DESC NULLS LAST, load_id DESC) AS recency
        FROM images_in_use
        WHERE status = 'moderated' AND source_ref IN (
            SELECT source_ref FROM images_in_use WHERE status = 'moderated' GROUP BY source_ref HAVING COUNT(*) > 1
        )
    ) AS ranked
    WHERE recency > 1
),
counted AS (
    SELECT content_type, COUNT(*) AS images, SUM(CASE WHEN flagged THEN 1 ELSE 0 END) AS flagged
    FROM images_in_use
    WHERE status = 'moderated'
    GROUP BY content_type
    UNION ALL
    SELECT content_type, -COUNT(*), -SUM(CASE WHEN flagged THEN 1 ELSE 0 END)
    FROM superseded
    GROUP BY content_type
),
latest AS (
    SELECT content_type, CAST(SUM(images) AS BIGINT) AS images, CAST(SUM(flagged) AS BIGINT) AS flagged
    FROM counted
    GROUP BY content_type
    HAVING SUM(images) > 0
)
SELECT
    content_type,
    images,
    CAST(100.0 * images / SUM(images) OVER () AS DECIMAL(9, 4)) AS images_percent,
    flagged,
    CAST(100.0 * flagged / images AS DECIMAL(9, 4)) AS flagged_percent
FROM latest
ORDER BY images DESC, content_type
