"""Bulk image moderation on Amazon Rekognition, from listing to tables. Knows nothing of Airflow."""

from moderation.storage.memory import choose_allocator

__version__ = "0.1.0"

choose_allocator()
