"""A plain folder with a copy of the published Parquet files, for tools that read nothing else."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog import Catalog

from moderation.catalog import load_table, open_catalog
from moderation.published import files_of_load, load_named
from moderation.reading import WarehouseError
from moderation.s3 import S3Error
from moderation.schema import JOBS, LOADS, TABLES, TableSpec
from moderation.settings import Settings
from moderation.storage import Storage, absolute
from moderation.tables import LoadWriter
from moderation.warehouses.base import published_load
from moderation.warehouses.load_files import read_load


class FolderMirror:
    """Copies loads into ``settings.parquet_mirror``, in the same folders as the published tables.

    Each file appears whole, by rename; those of `loads` come last, so a reader that keeps to the loads listed
    there never meets part of one.

    :raises WarehouseError: no folder is set.
    """

    def __init__(self, settings: Settings) -> None:
        if settings.parquet_mirror is None:
            raise WarehouseError("no folder to mirror into; set MODERATION_PARQUET_DIR")
        self._settings = settings
        self._folder = Path(settings.parquet_mirror)

    def load(self, load_id: str) -> dict[str, int]:
        """Copy the load's files that are not there yet.

        :returns: files of the load by table.
        :raises WarehouseError: no such published load, or the copy failed.
        """
        root = absolute(self._settings.tables_uri) + "/"
        counts = {}
        with open_catalog(self._settings) as catalog, Storage(self._settings) as storage:
            load = published_load(catalog, load_id)
            day = load["dt"].isoformat()
            for table in TABLES.values():
                files = files_of_load(load_table(catalog, table), load_id, day)
                if any(load_named(file.file_path) is None for file in files):
                    counts[table.name] = self._extract(catalog, table, load)
                    continue
                wanted = {file.file_path.removeprefix(root): file for file in files}
                counts[table.name] = len(wanted)
                for name, file in wanted.items():
                    self._copy(storage, file.file_path, self._folder / name, file.file_size_in_bytes)
                self._drop_others(table.name, load_id, {self._folder / name for name in wanted})
        return counts

    def _extract(self, catalog: Catalog, table: TableSpec, load: dict[str, Any]) -> int:
        """Files of the load alone, where the published ones are compacted and hold other loads too."""
        load_id = load["load_id"]
        there = list((self._folder / table.name).rglob(f"{load_id}-*.parquet"))
        rows = sum(pq.read_metadata(path).num_rows for path in there)
        if there and rows == _rows_of(load, table):  # copied before they were compacted
            return len(there)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".extract-", dir=self._folder) as name:
                with LoadWriter(Path(name), f"{load_id}-{load['digest']}") as writer:
                    for batch in read_load(catalog, table, load):
                        writer.write(table, pa.Table.from_batches([batch]))
                    files = writer.finish()
                for file in files:
                    target = self._folder / file.relative_path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    file.path.replace(target)
        except OSError as error:
            raise WarehouseError(
                f"cannot write load {load_id} to {self._folder}: {error}; run the load task again"
            ) from error
        self._drop_others(table.name, load_id, {self._folder / file.relative_path for file in files})
        return len(files)

    def _copy(self, storage: Storage, uri: str, target: Path, size: int) -> None:
        if target.is_file() and target.stat().st_size == size:
            return
        unfinished = target.with_name(f".{target.name}.tmp")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            storage.copy_to(uri, unfinished)
            unfinished.replace(target)
        except (OSError, S3Error) as error:
            unfinished.unlink(missing_ok=True)
            raise WarehouseError(
                f"cannot copy {uri} to {target}: {error}; run the load task again"
            ) from error

    def _drop_others(self, table: str, load_id: str, wanted: set[Path]) -> None:
        """Files of an earlier state of the load, if there are any."""
        for path in (self._folder / table).rglob(f"{load_id}-*.parquet"):
            if path not in wanted:
                path.unlink()


def _rows_of(load: dict[str, Any], table: TableSpec) -> int:
    """How many rows the load has in the table, as its row of `loads` tells."""
    if table is LOADS:
        return 1
    return int(load["manifests" if table is JOBS else table.name])
