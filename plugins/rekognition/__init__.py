"""Amazon Rekognition media analysis jobs and adapters for Airflow, shaped like a service of the provider."""
