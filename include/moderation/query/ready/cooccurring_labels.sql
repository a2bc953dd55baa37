-- Which second-level labels are found together in one image, and how much more often than chance at the thresholds in use (lift above 1)?
WITH superseded AS (
    -- Answers that a later one of the same image replaced. To rank only images with several is faster: they are few.
    SELECT load_id, manifest_id, line_number
    FROM (
        SELECT load_id, manifest_id, line_number,
            ROW_NUMBER() OVER (PARTITION BY source_ref ORDER BY moderated_at DESC NULLS LAST, load_id DESC) AS recency
        FROM images
        WHERE status = 'moderated' AND source_ref IN (
            SELECT source_ref FROM images WHERE status = 'moderated' GROUP BY source_ref HAVING COUNT(*) > 1
        )
    ) AS ranked
    WHERE recency > 1
),
found AS (
    SELECT DISTINCT source_ref, COALESCE(v7_l2, l2, name) AS l2
    FROM labels_l2_in_use AS labels_l2
    WHERE NOT EXISTS (
        SELECT 1
        FROM superseded
        WHERE superseded.load_id = labels_l2.load_id
            AND superseded.manifest_id = labels_l2.manifest_id
            AND superseded.line_number = labels_l2.line_number
    )
),
totals AS (
    SELECT l2, COUNT(*) AS images FROM found GROUP BY l2
),
pairs AS (
    SELECT one.l2 AS first_label, other.l2 AS second_label, COUNT(*) AS images
    FROM found AS one
    JOIN found AS other ON other.source_ref = one.source_ref AND one.l2 < other.l2
    GROUP BY one.l2, other.l2
),
everything AS (
    SELECT COUNT(*) - (SELECT COUNT(*) FROM superseded) AS images FROM images WHERE status = 'moderated'
)
SELECT
    pairs.first_label,
    pairs.second_label,
    pairs.images,
    CAST(
        1.0 * pairs.images * everything.images / (first_total.images * second_total.images) AS DECIMAL(18, 4)
    ) AS lift
FROM pairs
JOIN totals AS first_total ON first_total.l2 = pairs.first_label
JOIN totals AS second_total ON second_total.l2 = pairs.second_label
CROSS JOIN everything
ORDER BY pairs.images DESC, pairs.first_label, pairs.second_label
LIMIT 50
