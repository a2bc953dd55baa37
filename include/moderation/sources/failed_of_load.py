"""What of a published load is to be done again: the pictures that have no answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

import pyarrow as pa

from moderation.errors import WarehouseError
from moderation.reference import error_codes
from moderation.settings import Settings
from moderation.sources.base import SourceError
from moderation.sources.listing import NEVER_IN_S3, SCHEMA, Tally
from moderation.sources.local_folder import LocalFolder, path_text
from moderation.variables.names import NamePatterns

PREFIX = "load:"
_PERMANENT = "?permanent"
_FILE = "file://"
_COLUMNS = (
    *("source_ref", "bucket", "key", "etag", "size_bytes", "last_modified", "status", "error_code"),
    "origin",
)


@dataclass(frozen=True)
class FailedOfLoad:
    """The pictures of a load that were not moderated; a source like any other.

    :param load_id: a published load.
    :param permanent: also those that were refused for their own sake (:func:`error_codes.is_permanent`).
    """

    load_id: str
    permanent: bool = False
    checks_headers: bool = False
    tells_changes: bool = False

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
        """Read them from the published ``images``; files of a local folder are looked at and uploaded anew.

        All of it was taken for an image once, so no name speaks against it.


        :raises sources.SourceError: there is no such published load; s3.S3Error: S3 refuses to list or write.
        """
        folder = _folder_of(settings, self.load_id)
        tally.names = NamePatterns(())
        files: dict[str, dict[str, Any]] = {}
        for batch in _rows(settings, self.load_id):
            there = []
            for row in batch.to_pylist():
                if not self._takes(row):
                    continue
                path = _local_path(row) if folder else None
                if path is not None:
                    files[path] = row
                elif row["bucket"] is not None:
                    there.append(row)
                else:
                    tally.listed += 1
                    tally.leave_out(row["source_ref"], size=row["size_bytes"], rule=NEVER_IN_S3)
            tally.listed += len(there)
            yield _batch(there)
        if folder and files:
            yield from _again(folder, files, settings, s3, tally, dry_run=dry_run)

    def _takes(self, row: dict[str, Any]) -> bool:
        if row["status"] == "moderated":
            return False
        return self.permanent or not error_codes.is_permanent(row["error_code"] or "")


def _folder_of(settings: Settings, load_id: str) -> str | None:
    """The folder that a load was made of, also by way of redos; None for a load of objects."""
    source = str(_load(settings, load_id)["source"] or "")
    while source.startswith(PREFIX):
        source = str(_load(settings, FailedOfLoad.parse(source).load_id)["source"] or "")
    return source if source.startswith(_FILE) else None


def _local_path(row: dict[str, Any]) -> str | None:
    """Path of the image's file, as `LocalFolder` gives it; None when none is known."""
    if row["origin"] is not None:
        return str(row["origin"])
    ref = str(row["source_ref"])
    return path_text(unquote_to_bytes(ref.removeprefix(_FILE))) if ref.startswith(_FILE) else None


def _again(
    folder: str, files: dict[str, dict[str, Any]], settings: Settings, s3: Any, tally: Tally, *, dry_run: bool
) -> Iterator[pa.RecordBatch]:
    """These files as they are now; what is gone here and is not in S3 stays refused, and says so."""
    given = frozenset(files)
    for batch in LocalFolder.of_uri(folder, only=given).batches(settings, s3, tally, dry_run=dry_run):
        rows = batch.to_pylist()
        for row in rows:
            files.pop(row["origin"], None)
            if dry_run:  # nothing was uploaded whose header could be read
                row["bucket"] = row["key"] = None
        yield pa.RecordBatch.from_pylist(rows, schema=SCHEMA)
    tally.listed += len(files)
    gone = [row for row in files.values() if row["bucket"] is None]
    rows = [row for row in files.values() if row["bucket"] is not None]
    yield _batch(rows)
    for row in gone:
        row.update(
            size=row.pop("size_bytes"),
            error_code=error_codes.UNREADABLE_FILE,
            error_message="The file is not there any more.",
        )
    yield pa.RecordBatch.from_pylist(gone, schema=SCHEMA)


def _batch(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    """Rows of `images` as a source gives them, with nothing against them yet."""
    asked = [row | {"size": row["size_bytes"], "error_code": None} for row in rows]
    return pa.RecordBatch.from_pylist(asked, schema=SCHEMA)


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
