-- How many images were moderated, flagged, failed or left for later each day (at the thresholds in use)?
SELECT
    dt,
    CAST(SUM(CASE WHEN status = 'moderated' THEN 1 ELSE 0 END) AS BIGINT) AS moderated,
    CAST(SUM(CASE WHEN status = 'moderated' AND flagged THEN 1 ELSE 0 END) AS BIGINT) AS flagged,
    CAST(SUM(CASE WHEN status = 'failed' THEN 1 ELSE 0 END) AS BIGINT) AS failed,
    CAST(SUM(CASE WHEN status = 'not_attempted' THEN 1 ELSE 0 END) AS BIGINT) AS not_attempted
FROM images_in_use
GROUP BY dt
ORDER BY dt
