"""Bulk image moderation on Amazon Rekognition: manifests, results, tables, publishing. Knows nothing of Airflow."""
