-- Which adapter answered which load, on which base model, and how had it compared with the base model?
WITH answered AS (
    SELECT load_id, adapter, COUNT(*) AS moderated, CAST(SUM(CASE WHEN flagged THEN 1 ELSE 0 END) AS BIGINT) AS flagged
    FROM images_in_use
    WHERE status = 'moderated'
    GROUP BY load_id, adapter
)
SELECT
    answered.load_id,
    COALESCE(answered.adapter, 'the base model') AS adapter,
    answered.moderated,
    answered.flagged,
    adapters.state,
    adapters.labels,
    adapters.base_model_version,
    adapters.gate,
    adapters.became_right,
    adapters.became_wrong,
    adapters.promoted_at,
    adapters.promoted_by
FROM answered
LEFT JOIN adapters ON adapters.adapter = answered.adapter
ORDER BY answered.load_id DESC, adapter
