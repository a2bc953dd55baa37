-- Who decided how much on which day, how much of it was taken back, and how often without a decision?
SELECT dt, reviewer,
    SUM(CASE WHEN verdict NOT IN ('withdrawn', 'skipped', 'note') THEN 1 ELSE 0 END) AS decisions,
    COUNT(DISTINCT content) AS contents,
    SUM(CASE WHEN verdict = 'withdrawn' THEN 1 ELSE 0 END) AS taken_back,
    SUM(CASE WHEN verdict = 'unsure' THEN 1 ELSE 0 END) AS unsure,
    SUM(CASE WHEN verdict = 'skipped' THEN 1 ELSE 0 END) AS skipped
FROM verdicts
GROUP BY dt, reviewer
ORDER BY dt DESC, reviewer
