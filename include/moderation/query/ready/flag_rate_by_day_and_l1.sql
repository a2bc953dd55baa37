-- Of the images moderated each day, how many percent were flagged in each top category (at the thresholds in use)?
WITH flagged AS (
    -- A trimmed answer may list a label without its ancestors, and model 6.1 had other categories above some.
    SELECT dt, load_id, manifest_id, line_number, COALESCE(v7_l1, l1, name) AS l1 FROM labels_l1_in_use
    UNION ALL
    SELECT dt, load_id, manifest_id, line_number, COALESCE(v7_l1, l1, 'unknown') AS l1 FROM labels_l2_in_use WHERE NOT has_ancestors OR v7_l1 <> l1
    UNION ALL
    SELECT dt, load_id, manifest_id, line_number, COALESCE(v7_l1, l1, 'unknown') AS l1 FROM labels_l3_in_use WHERE NOT has_ancestors
),
flagged_images AS (
    SELECT dt, l1, COUNT(*) AS flagged
    FROM (SELECT DISTINCT dt, l1, load_id, manifest_id, line_number FROM flagged) AS once
    GROUP BY dt, l1
),
days AS (
    SELECT dt, COUNT(*) AS moderated FROM images WHERE status = 'moderated' GROUP BY dt
),
categories AS (
    SELECT DISTINCT l1 FROM flagged_images
)
SELECT
    days.dt,
    categories.l1,
    days.moderated,
    COALESCE(flagged_images.flagged, 0) AS flagged,
    CAST(100.0 * COALESCE(flagged_images.flagged, 0) / days.moderated AS DECIMAL(9, 4)) AS flagged_percent
FROM days
CROSS JOIN categories
LEFT JOIN flagged_images ON flagged_images.dt = days.dt AND flagged_images.l1 = categories.l1
ORDER BY days.dt, categories.l1
