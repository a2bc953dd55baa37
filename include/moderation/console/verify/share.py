"""How much of a job people have looked at."""

from __future__ import annotations

from moderation.console.index.found import Found
from moderation.console.shared import Shared


def verified(shared: Shared, found: Found) -> tuple[int, int]:
    """Different contents of a load of which a person said something, and all that were answered."""
    load_id = found.load["load_id"]
    said = shared.review.log.verified_by_load([load_id]).get(load_id, 0)
    contents = found.different()
    return min(said, contents), contents
