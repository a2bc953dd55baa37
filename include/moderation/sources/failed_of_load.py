"""What of a published load is to be done again: the pictures that have no answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from moderation.errors import WarehouseError
from moderation.reference import error_codes
from moderation.settings import Settings
from moderation.sources.base import SourceError
from moderation.sources.listing import NEVER_IN_S3, SCHEMA, Tally
from moderation.variables.names import NamePatterns

PREFIX = "load:"
_PERMANENT = "?permanent"
_COLUMNS = ("source_ref", "bucket", "key", "etag", "size_bytes", "last_modified", "status", "error_code")


@dataclass(frozen=True)
class FailedOfLoad:
    """The pictures of a load that were not moderated; a source like any other.

    :param load_id: a published load.
    :param permanent: also those that were refused for their own sake (:func:`error_codes.is_permanent`).
    """

    load_id: str
    permanent: bool = False
    checks_headers: bool = False

    @property
    def retry_refused(self) -> bool:
        """As every source."""
        return self.permanent

    @classmethod
    def parse(cls, uri: str) -> FailedOfLoad:
        """Read what :attr:`uri` gives."""
        name = uri.removeprefix(PREFIX)
        return cls(name.removesuffix(_PERMANENT), permanent=name.endswith(_PERMANENT))

    @property
    def uri(self) -> str:
        """How it stands in plans and loads: ``load:<load_id>``."""
        return f"{PREFIX}{self.load_id}{_PERMANENT if self.permanent else ''}"

    def batches(
        self, settings: Settings, s3: Any, tally: Tally, *, dry_run: bool
    ) -> Iterator[pa.RecordBatch]:
        """Read them from the published ``images``; what never was in S3 is left out.

        All of it was taken for an image once, so no name speaks against it.


        :raises sources.SourceError: there is no such published load.
        """
        tally.names = NamePatterns(())
        for batch in _rows(settings, self.load_id):
            rows = [row for row in batch.to_pylist() if self._takes(row)]
            there = [row for row in rows if row["bucket"] is not None]
            tally.listed += len(rows)
            for row in rows:
                if row["bucket"] is None:
                    tally.leave_out(row["source_ref"], size=row["size_bytes"], rule=NEVER_IN_S3)
            for row in there:
                row["size"] = row.pop("size_bytes")
                row["error_code"] = None
            yield pa.RecordBatch.from_pylist(there, schema=SCHEMA)

    def _takes(self, row: dict[str, Any]) -> bool:
        if row["status"] == "moderated":
            return False
        return self.permanent or not error_codes.is_permanent(row["error_code"] or "")


def question_of(settings: Settings, load_id: str) -> tuple[float, str | None]:
    """MinConfidence and adapter that a load asked for: what failed is asked for in the same way.

    :raises sources.SourceError: there is no such published load.
    """
    load = _load(settings, load_id)
    return load["min_confidence"], load["adapter"]


def _load(settings: Settings, load_id: str) -> dict[str, Any]:
    # Here: Iceberg takes long to import, and few sources need it.
    from moderation.tables.catalog import open_catalog  # noqa: PLC0415
    from moderation.tables.published import published_load  # noqa: PLC0415

    with open_catalog(settings) as catalog:
        try:
            return published_load(catalog, load_id)
        except WarehouseError as error:
            raise SourceError(f"load {load_id!r} is not published; name one of the table loads") from error


def _rows(settings: Settings, load_id: str) -> Iterator[pa.RecordBatch]:
    from moderation.schema import IMAGES  # noqa: PLC0415
    from moderation.tables.catalog import load_table, open_catalog  # noqa: PLC0415 - as above
    from moderation.tables.published import scan  # noqa: PLC0415

    load = _load(settings, load_id)
    where = f"dt = '{load['dt'].isoformat()}' and load_id = '{load_id}'"
    with open_catalog(settings) as catalog:
        yield from scan(load_table(catalog, IMAGES), IMAGES, _COLUMNS, load_ids={load_id}, where=where)
