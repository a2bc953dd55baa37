"""Loopback stand-ins for AWS: a real S3 server and an offline Rekognition endpoint."""
