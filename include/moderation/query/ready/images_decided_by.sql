-- What does each image end as: by the policy, or by a person who found nothing in it or called it severe?
SELECT decided_by, ends_as, COUNT(*) AS images, SUM(labels_absent) AS labels_wrong, SUM(labels_missed) AS labels_missed
FROM images_decided
GROUP BY decided_by, ends_as
ORDER BY decided_by, ends_as
