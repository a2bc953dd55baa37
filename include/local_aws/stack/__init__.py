"""The embedded default as one stack: S3, Rekognition and Airflow on loopback, started together."""
