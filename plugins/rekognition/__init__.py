"""Amazon Rekognition media analysis jobs for Airflow, shaped like a service of the Amazon provider."""
