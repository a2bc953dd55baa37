"""Where a run stages images, and what becomes of them: deleted once its load is published.

What runs left that died is deleted by later ones after ``_KEPT``.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from moderation.settings import Settings
from moderation.storage import s3_objects

_KEPT = timedelta(days=30)


def folder_uri(settings: Settings, run_key: str) -> str:
    """Where a run's images are staged."""
    return s3_objects.join_uri(settings.work_uri, "transcoded", run_key)


def clean(s3: Any, settings: Settings, run_key: str) -> None:
    """Delete what a run has staged, and what was staged so long ago that its run must have died."""
    mine, old = folder_uri(settings, run_key) + "/", datetime.now(UTC) - _KEPT
    everything = s3_objects.join_uri(settings.work_uri, "transcoded") + "/"
    bucket = s3_objects.split_uri(everything).bucket
    for entry in list(s3_objects.list_objects(s3, everything)):
        uri = f"s3://{bucket}/{entry['Key']}"
        if uri.startswith(mine) or entry["LastModified"] < old:
            s3_objects.delete(s3, uri)
