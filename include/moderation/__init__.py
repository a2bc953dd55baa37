"""Bulk image moderation on Amazon Rekognition, from listing to tables. Knows nothing of Airflow."""
