"""What the moderation Dags need of Airflow beyond Rekognition: approval, alerts, metrics, retry rules."""
