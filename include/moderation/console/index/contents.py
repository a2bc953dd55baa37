"""Which contents a load has, as numbers: a small file on this machine, made once from the published ones."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from moderation.console.index.looks import look_at
from moderation.reference.content import SUBJECT_SQL
from moderation.schema import MODERATED
from moderation.settings import Settings
from moderation.storage.whole_file import whole_file

SUFFIX = ".contents"
_NUMBERS = f"""
SELECT DISTINCT md5_number_lower({SUBJECT_SQL}) AS number FROM images
WHERE load_id = $load AND status = '{MODERATED}' ORDER BY number
"""  # noqa: S608 - expressions of ours
_FORMAT = hashlib.sha256(_NUMBERS.encode()).hexdigest()[:8]
_IMAGES = b"images"


def number_of(content: str) -> int:
    """The number of a content, the same in every load: the last eight bytes of its name's MD5.

    :param content: as `moderation.reference.content.subject_id` names it.
    """
    return int.from_bytes(hashlib.md5(content.encode(), usedforsecurity=False).digest()[8:], "little")


class LoadContents:
    """The contents of loads that have an answer.

    :param folder: where the files are; the indexes of loads make room for them.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder

    def of(self, loads: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
        """By load id the numbers of its contents, each once and in order.

        :param loads: rows of `loads`.
        :raises moderation.tables.faults.TablesError: the tables cannot be read.
        """
        kept = {load["load_id"]: self._kept(load) for load in loads}
        missing = [load for load in loads if kept[load["load_id"]] is None]
        if missing:
            kept |= self._make(missing)
        return {load_id: numbers for load_id, numbers in kept.items() if numbers is not None}

    def _path(self, load: dict[str, Any]) -> Path:
        return self._folder / f"{load['load_id']}-{_FORMAT}{SUFFIX}"

    def _kept(self, load: dict[str, Any]) -> np.ndarray | None:
        """None where there is no file, where it is damaged, and where images were erased since."""
        try:
            table = pq.read_table(self._path(load), page_checksum_verification=True, memory_map=False)
            os.utime(self._path(load))
        except (OSError, pa.ArrowException):
            return None
        if (table.schema.metadata or {}).get(_IMAGES) != str(load["images"]).encode():
            return None
        numbers: np.ndarray = table["number"].to_numpy()
        return numbers

    def _make(self, loads: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        days = [load["dt"] for load in loads]
        made = {}
        with look_at(self._settings, since=min(days), until=max(days)) as published:
            for load in loads:
                table = published.sql(_NUMBERS, params={"load": load["load_id"]}).to_arrow_table()
                table = table.replace_schema_metadata({_IMAGES: str(load["images"]).encode()})
                with whole_file(self._path(load)) as unfinished:
                    pq.write_table(table, unfinished, write_page_checksum=True)
                made[load["load_id"]] = table["number"].to_numpy()
        return made
