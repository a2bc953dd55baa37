"""What every source can do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import pyarrow as pa

from moderation.errors import NeedsAPersonError
from moderation.settings import Settings
from moderation.sources.listing import Tally


class SourceError(NeedsAPersonError, ValueError):
    """The source cannot be read as what it is said to be; the text names the file and the remedy."""


class Source(Protocol):
    """Anything that can list pictures."""

    @property
    def uri(self) -> str:
        """How a person names it."""
        ...

    @property
    def checks_headers(self) -> bool:
        """Whether rows without error code have had their header checked."""
        ...

    @property
    def retry_refused(self) -> bool:
        """Whether it is meant to ask again about images that were refused for their own sake."""
        ...

    @property
    def tells_changes(self) -> bool:
        """Whether it can be read on from the position that the tally has."""
        ...

    def batches(
        self, settings: Settings, s3: Any, tally: Tally, *, dry_run: bool
    ) -> Iterator[pa.RecordBatch]:
        """Rows of :data:`moderation.sources.listing.SCHEMA`, as a stream; counts into ``tally``.

        :param dry_run: change nothing outside.
        """
        ...
