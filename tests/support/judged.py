"""Pictures in S3 from which an adapter can learn, and what a person said of them."""

from __future__ import annotations

import hashlib
import io
import random
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from PIL import Image

from moderation.publish.commit import publish
from moderation.review.state.open import open_state
from moderation.review.verdict import Verdict
from moderation.settings import Settings
from moderation.storage import s3_objects
from support.planned_runs import Run, answer, line

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def picture(number: int, *, red: bool) -> bytes:
    """A picture of patches that lean to red or to blue: an adapter can learn that from its colours."""
    chance = random.Random(number)
    image = Image.new("RGB", (9, 9))
    for x in range(9):
        for y in range(9):
            strong, weak = 150 + chance.randrange(100), chance.randrange(60)
            image.putpixel((x, y), (strong, weak, weak) if red else (weak, weak, strong))
    made = io.BytesIO()
    image.resize((90, 90), Image.Resampling.NEAREST).save(made, "PNG")
    return made.getvalue()


def judged(s3: Any, bucket: str, number: int, *, red: bool) -> Verdict:
    """A picture in S3, and a person's verdict on it."""
    body = picture(number, red=red)
    key = f"photos/{number}.png"
    s3.put_object(Bucket=bucket, Key=key, Body=body)
    etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
    return Verdict(
        verdict_id=f"{number:08}",
        decided_at=NOW,
        reviewer="anna",
        content=f"{etag}-{len(body)}",
        source_ref=f"s3://{bucket}/{key}",
        etag=etag,
        size_bytes=len(body),
        subject="label" if red else "image",
        label="Gambling" if red else None,
        level=1 if red else None,
        l1="Gambling" if red else None,
        verdict="present" if red else "nothing",
    )


def publish_judged(settings: Settings, s3: Any, bucket: str, *, red: int, images: int) -> None:
    """A published load of which the base model said nothing, and a verdict on each of its images."""
    verdicts = [judged(s3, bucket, number, red=number < red) for number in range(images)]
    run = Run(settings, s3)
    refs = [str(verdict.source_ref) for verdict in verdicts]
    run.manifest(refs, b"\n".join(line(ref, answer()) for ref in refs))
    for name, values in (
        ("etag", [verdict.etag for verdict in verdicts]),
        ("size", [verdict.size_bytes for verdict in verdicts]),
    ):
        table = run.tables[-1]
        place = table.schema.get_field_index(name)
        run.tables[-1] = table.set_column(place, table.schema.field(place), pa.array(values))
    plan = run.store()
    for record in run.records:
        s3_objects.put(s3, plan.analysis_record_uri(record.manifest_id), record.to_json())
    publish(settings, plan, run.records)
    state = open_state()
    state.log.append(verdicts)
    state.close()
