"""Archives in the middle of their way, as their files would say it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from moderation.archive.backfill import state
from moderation.archive.backfill.state import DONE, PARKED, RUNNING, WAITING, Archive, Chunk, Options
from moderation.settings import Settings

BEGUN = datetime(2026, 11, 20, 8, tzinfo=UTC)
WHY = "manifest 3: <b>AccessDenied</b> for s3://archive/photos; allow s3:GetObject to the job's role"


def half_done(name: str = "old", *, status: str = "running", done: int = 3, **more: Any) -> Archive:
    """Done chunks, then one that is parked, one under way and two that wait; ten thousand images each."""
    chunks = [
        Chunk(
            number=number,
            uri=f"s3://work/{number}.parquet",
            images=10_000,
            first=f"s3://archive/photos/{number}/a.jpg",
            last=f"s3://archive/photos/{number}/z.jpg",
            status=found,
        )
        for number, found in enumerate([DONE] * done + [PARKED, RUNNING, WAITING, WAITING], start=1)
    ]
    ended = {
        chunk.number: {
            "tries": 1,
            "began_at": (BEGUN + timedelta(hours=chunk.number - 1)).isoformat(),
            "ended_at": (BEGUN + timedelta(hours=chunk.number)).isoformat(),
            "answered": 9_900,
            "before": 60,
            "codes": {"InvalidImageFormatException": 30, "InvalidS3ObjectException": 10},
            "gone": 10,
            "changed": 4,
            "billed": 9_900,
            "cost_usd": 9.9,
        }
        for chunk in chunks[:done]
    }
    ended[done + 1] = {"tries": 3, "ended_at": (BEGUN + timedelta(hours=done)).isoformat(), "reason": WHY}
    ended[done + 2] = {"tries": 1, "began_at": (BEGUN + timedelta(hours=done)).isoformat()}
    return Archive(
        name=name,
        source="s3://archive/photos | *.jpg",
        options=Options(chunk_images=10_000, day_usd=50, time_zone="Europe/Vienna"),
        status=status,
        created_at=BEGUN.isoformat(),
        listed=len(chunks) * 10_000,
        chunks=tuple(Chunk(**(vars(chunk) | ended.get(chunk.number, {}))) for chunk in chunks),
        **more,
    )


def keep(settings: Settings, s3: Any, *archives: Archive) -> None:
    """Store them."""
    for archive in archives:
        assert state.create(settings, s3, archive)
