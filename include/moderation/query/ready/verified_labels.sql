-- How often did people find each label right, wrong or missed? Counts of rows, no rates: what was looked at is no sample.
WITH counted AS (
    SELECT l1, label,
        SUM(CASE WHEN is_listed AND truth = 'present' THEN 1 ELSE 0 END) AS true_positives,
        SUM(CASE WHEN is_listed AND truth = 'absent' THEN 1 ELSE 0 END) AS false_positives,
        SUM(CASE WHEN NOT is_listed AND truth = 'present' THEN 1 ELSE 0 END) AS false_negatives,
        SUM(CASE WHEN truth IN ('disputed', 'unsure') THEN 1 ELSE 0 END) AS undecided,
        SUM(CASE WHEN truth IS NULL THEN 1 ELSE 0 END) AS not_verified
    FROM labels_verified
    GROUP BY l1, label
    HAVING COUNT(truth) > 0
)
SELECT l1, label, true_positives, false_positives, false_negatives, undecided, not_verified
FROM counted
ORDER BY false_positives + false_negatives DESC, l1, label
