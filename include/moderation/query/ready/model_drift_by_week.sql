-- Does the model answer differently from week to week: flag rate and confidence by model, and the change in points (at the thresholds in use)?
WITH weeks AS (
    SELECT
        COALESCE(model_version, 'unknown') AS model_version,
        CAST(DATE_TRUNC('week', dt) AS DATE) AS week,
        COUNT(*) AS moderated,
        CAST(SUM(CASE WHEN flagged THEN 1 ELSE 0 END) AS BIGINT) AS flagged,
        AVG(max_confidence) AS confidence
    FROM images_in_use
    WHERE status = 'moderated'
    GROUP BY 1, 2
),
rates AS (
    SELECT model_version, week, moderated, flagged, confidence, 100.0 * flagged / moderated AS flagged_percent
    FROM weeks
)
SELECT
    model_version,
    week,
    moderated,
    flagged,
    CAST(flagged_percent AS DECIMAL(9, 4)) AS flagged_percent,
    CAST(
        flagged_percent - LAG(flagged_percent) OVER (PARTITION BY model_version ORDER BY week) AS DECIMAL(9, 4)
    ) AS flagged_change,
    CAST(confidence AS DECIMAL(9, 4)) AS mean_top_confidence,
    CAST(
        confidence - LAG(confidence) OVER (PARTITION BY model_version ORDER BY week) AS DECIMAL(9, 4)
    ) AS confidence_change
FROM rates
ORDER BY model_version, week
