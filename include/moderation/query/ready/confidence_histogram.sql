-- How sure were the answers: labels of each top category by steps of five percent of confidence (at the thresholds in use)?
WITH steps AS (
    -- 100 percent belongs to the last step, 95 to 100.
    SELECT COALESCE(v7_l1, l1, name) AS l1,
        5 * CAST(FLOOR(CASE WHEN confidence >= 100 THEN 95 ELSE confidence END / 5) AS INTEGER) AS from_percent
    FROM labels_l1_in_use
)
SELECT l1, from_percent, from_percent + 5 AS to_percent, COUNT(*) AS labels
FROM steps
GROUP BY l1, from_percent
ORDER BY l1, from_percent
