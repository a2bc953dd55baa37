-- How often did people find each label right, wrong or missed (at the thresholds in use)? Counts of rows, no rates: what was looked at is no sample.
WITH said AS (
    SELECT v.l1, v.label, v.truth,
        v.is_listed AND v.confidence >= COALESCE(own.from_percent, other.from_percent, 0) AS is_flagged
    FROM labels_verified AS v
    LEFT JOIN thresholds_in_use AS own ON own.label = v.label
    LEFT JOIN thresholds_in_use AS other ON other.label IS NULL
),
counted AS (
    SELECT l1, label,
        SUM(CASE WHEN is_flagged AND truth = 'present' THEN 1 ELSE 0 END) AS true_positives,
        SUM(CASE WHEN is_flagged AND truth = 'absent' THEN 1 ELSE 0 END) AS false_positives,
        SUM(CASE WHEN NOT is_flagged AND truth = 'present' THEN 1 ELSE 0 END) AS false_negatives,
        SUM(CASE WHEN truth IN ('disputed', 'unsure') THEN 1 ELSE 0 END) AS undecided,
        SUM(CASE WHEN is_flagged AND truth IS NULL THEN 1 ELSE 0 END) AS not_verified
    FROM said
    GROUP BY l1, label
    HAVING COUNT(truth) > 0
)
SELECT l1, label, true_positives, false_positives, false_negatives, undecided, not_verified
FROM counted
ORDER BY false_positives + false_negatives DESC, l1, label
