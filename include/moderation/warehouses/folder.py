"""A plain folder with a copy of the published Parquet files, for tools that read nothing else."""

from __future__ import annotations

from pathlib import Path

from moderation.catalog import load_table, open_catalog
from moderation.published import files_of_load
from moderation.reading import WarehouseError
from moderation.s3 import S3Error
from moderation.schema import TABLES
from moderation.settings import Settings
from moderation.storage import Storage, absolute
from moderation.warehouses.base import published_load


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
                wanted = {file.file_path.removeprefix(root): file for file in files}
                counts[table.name] = len(wanted)
                for name, file in wanted.items():
                    self._copy(storage, file.file_path, self._folder / name, file.file_size_in_bytes)
                self._drop_others(table.name, load_id, {self._folder / name for name in wanted})
        return counts

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
