"""Contents that people decided about, with pictures that differ, or hardly differ, to the eye."""

from __future__ import annotations

import hashlib
import io
import random
from typing import Any

from PIL import Image

from moderation.adapters.sets.decided import Decided


def decided(content: str, *, present: str | None = None, absent: str = "Gambling", **given: Any) -> Decided:
    """A content with one label that is right, or that is not there."""
    outcomes = {present: "present"} if present else {absent: "absent"}
    return Decided(
        **{"content": content, "source_ref": f"s3://photos/{content}", "outcomes": outcomes, **given}
    )


def missed(number: int, *, label: str = "Gambling") -> list[Decided]:
    """False negatives."""
    return [decided(f"missed-{place:04}", present=label) for place in range(number)]


def harmless(number: int, *, label: str = "Gambling") -> list[Decided]:
    """True negatives."""
    return [decided(f"harmless-{place:04}", absent=label) for place in range(number)]


def false_alarms(number: int, *, label: str = "Gambling") -> list[Decided]:
    """False positives at 50."""
    return [
        decided(f"alarm-{place:04}", absent=label, confidences={label: 60.0 + place / 100})
        for place in range(number)
    ]


def hashes(entries: list[Decided]) -> dict[str, int]:
    """A hash for each content; no two are near."""
    return {entry.content: random.Random(entry.content).getrandbits(128) for entry in entries}


def picture(seed: str, *, mark: int = 0, kind: str = "PNG") -> bytes:
    """A picture of large patches; with another mark it is nearly the same."""
    chance = random.Random(seed)
    image = Image.new("L", (9, 9))
    image.putdata([chance.randrange(256) for _ in range(81)])
    large = image.resize((90, 90), Image.Resampling.NEAREST).convert("RGB")
    large.putpixel((5, 5), (mark, 0, 0))
    made = io.BytesIO()
    large.save(made, kind)
    return made.getvalue()


def seen(s3: Any, bucket: str, name: str, outcome: str) -> Decided:
    """An image in S3 and what people said of it."""
    body = picture(name)
    s3.put_object(Bucket=bucket, Key=name, Body=body)
    etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
    return Decided(
        content=f"{etag}-{len(body)}",
        source_ref=f"s3://{bucket}/{name}",
        etag=etag,
        outcomes={"Gambling": outcome},
        verdicts=(f"verdict of {name}",),
    )
