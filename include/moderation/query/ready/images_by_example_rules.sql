-- How many images would be blocked, reviewed or allowed by the example rules in this query? Edit them to try others.
WITH rules AS (
    -- Example only, not a recommendation: the strictest rule that an image meets decides.
    SELECT l1, outcome, from_confidence
    FROM (VALUES
        ('Explicit', 'block', 90.0),
        ('Explicit', 'review', 50.0),
        ('Hate Symbols', 'review', 50.0),
        ('Violence', 'review', 80.0),
        ('Visually Disturbing', 'review', 80.0),
        ('Non-Explicit Nudity of Intimate parts and Kissing', 'review', 80.0)
    ) AS example (l1, outcome, from_confidence)
),
superseded AS (
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
labels AS (
    SELECT load_id, manifest_id, line_number, confidence, COALESCE(v7_l1, l1) AS l1 FROM labels_l1
    UNION ALL
    SELECT load_id, manifest_id, line_number, confidence, COALESCE(v7_l1, l1) AS l1 FROM labels_l2 WHERE path_derived OR v7_l1 <> l1
    UNION ALL
    SELECT load_id, manifest_id, line_number, confidence, COALESCE(v7_l1, l1) AS l1 FROM labels_l3 WHERE path_derived
),
strictest AS (
    SELECT labels.load_id, labels.manifest_id, labels.line_number,
        MAX(CASE WHEN rules.outcome = 'block' THEN 2 ELSE 1 END) AS severity
    FROM labels
    JOIN rules ON rules.l1 = labels.l1 AND labels.confidence >= rules.from_confidence
    GROUP BY labels.load_id, labels.manifest_id, labels.line_number
),
decided AS (
    SELECT CASE strictest.severity WHEN 2 THEN 'block' WHEN 1 THEN 'review' ELSE 'allow' END AS outcome
    FROM images
    LEFT JOIN strictest
        ON strictest.load_id = images.load_id
        AND strictest.manifest_id = images.manifest_id
        AND strictest.line_number = images.line_number
    WHERE images.status = 'moderated' AND NOT EXISTS (
        SELECT 1
        FROM superseded
        WHERE superseded.load_id = images.load_id
            AND superseded.manifest_id = images.manifest_id
            AND superseded.line_number = images.line_number
    )
)
SELECT outcome, COUNT(*) AS images, CAST(100.0 * COUNT(*) / SUM(COUNT(*)) OVER () AS DECIMAL(9, 4)) AS images_percent
FROM decided
GROUP BY outcome
ORDER BY outcome
