-- What did a thousand billed images cost each day, and what did a thousand moderated ones really cost?
SELECT
    dt,
    COUNT(DISTINCT load_id) AS loads,
    CAST(SUM(billed) AS BIGINT) AS billed,
    CAST(SUM(moderated) AS BIGINT) AS moderated,
    CAST(SUM(cost_usd) AS DECIMAL(18, 6)) AS cost_usd,
    CAST(1000.0 * SUM(cost_usd) / NULLIF(SUM(billed), 0) AS DECIMAL(18, 6)) AS usd_per_1000_billed,
    CAST(1000.0 * SUM(cost_usd) / NULLIF(SUM(moderated), 0) AS DECIMAL(18, 6)) AS usd_per_1000_moderated
FROM loads
GROUP BY dt
ORDER BY dt
