-- How many images are gone at their source, by the day on which a listing first did not show them?
WITH known AS (
    SELECT source_ref, MAX(CASE WHEN status = 'moderated' THEN 1 ELSE 0 END) AS answered
    FROM images
    GROUP BY source_ref
)
SELECT
    gone.dt AS gone_since,
    gone.source,
    COUNT(*) AS images,
    CAST(SUM(known.answered) AS BIGINT) AS answered
FROM gone
INNER JOIN known ON known.source_ref = gone.source_ref
GROUP BY gone.dt, gone.source
ORDER BY gone.dt DESC, gone.source
