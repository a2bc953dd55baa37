-- Who decided how much on which day, how much of it was taken back, and how often without a decision?
SELECT dt, reviewer,
    SUM(decision) AS decisions,
    COUNT(DISTINCT CASE WHEN decision = 1 THEN image END) AS contents,
    SUM(taken_back) AS taken_back,
    SUM(unsure) AS unsure,
    SUM(skipped) AS skipped
FROM (
    -- All that was said of an image at one time is one decision; an erased image stands for itself.
    SELECT dt, reviewer, decided_at, COALESCE(content, verdict_id) AS image,
        MAX(CASE WHEN verdict NOT IN ('withdrawn', 'skipped', 'note') THEN 1 ELSE 0 END) AS decision,
        MAX(CASE WHEN verdict = 'withdrawn' THEN 1 ELSE 0 END) AS taken_back,
        MAX(CASE WHEN verdict = 'unsure' THEN 1 ELSE 0 END) AS unsure,
        MAX(CASE WHEN verdict = 'skipped' THEN 1 ELSE 0 END) AS skipped
    FROM verdicts
    GROUP BY dt, reviewer, decided_at, COALESCE(content, verdict_id)
) AS said
GROUP BY dt, reviewer
ORDER BY dt DESC, reviewer
