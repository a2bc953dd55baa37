"""A load's images and labels as one DuckDB file on this machine, made once from the published files.

A published load never changes, so neither does its index; the console's pages are answered from it without
another look at S3 or the catalog. The file appears whole or not at all; the oldest give way when all take
more than their share of the disk.

Tables of an index
------------------
``image``
    a row an image, ``n`` numbered from 0 by ``source_ref``; ``content`` is the least ``n`` of the same
    content, ``foremost`` the name of the label with the highest confidence, the lowest in the tree of equals.
``label``
    a row a label that an answer lists: ``n``, ``node``, ``name``, ``confidence``, ``level``.
``node``
    a row a label of the tree: ``node``, ``level``, ``path`` (names joined by `PATH_SIGN`), ``parent``.
``found``
    a row for each image, label it has, and node above that label or its own: ``n``, ``node``, ``listed`` (the
    label's node), the highest ``confidence``. So an L1 counts images whose answer lists an L3 alone.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa

from moderation.console.index.contents import SUFFIX
from moderation.console.index.looks import INDEX, look_at, memory_for, one_at_a_time, with_enough
from moderation.console.index.open_files import OpenFiles
from moderation.errors import NeedsAPersonError, TransientError
from moderation.reference import content
from moderation.reference.taxonomy import PATH_SIGN
from moderation.settings import Settings
from moderation.storage.whole_file import whole_file
from moderation.tables.published import read_loads, row_of

T = TypeVar("T")

_LOAD_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{12}")
_THREADS = 2
_AT_ONCE = 10_000
MOST_KNOWN = 2
"""Indexes of which a process keeps what it found out: some megabytes each, for 100,000 images."""
_DAMAGE = (duckdb.IOException, duckdb.InternalException, duckdb.FatalException, duckdb.SerializationException)

_COLUMNS = (
    "source_ref, bucket, key, etag, size_bytes, last_modified, status, error_code, error_message, "
    "content_type, illustrated_confidence, animated_confidence, label_count, top_l1, max_confidence, "
    "backend, model_version, adapter, job_id, moderated_at, min_confidence, manifest_id, line_number"
)
_LABELS = """
    SELECT manifest_id, line_number, 1 AS level, name, confidence, COALESCE(l1, name) AS l1, NULL AS l2,
        NULL AS l3 FROM labels_l1 WHERE load_id = $load
    UNION ALL SELECT manifest_id, line_number, 2, name, confidence, l1, COALESCE(l2, name), NULL
        FROM labels_l2 WHERE load_id = $load
    UNION ALL SELECT manifest_id, line_number, 3, name, confidence, l1, l2, COALESCE(l3, name)
        FROM labels_l3 WHERE load_id = $load
"""
_BUILD = f"""
CREATE TABLE numbered AS
    SELECT (row_number() OVER (ORDER BY source_ref, manifest_id, line_number) - 1)::INTEGER AS n,
        rowid AS given, manifest_id, line_number, {content.SQL} AS known
    FROM given_images;
CREATE TABLE alike AS SELECT known, min(n) AS content FROM numbered WHERE known IS NOT NULL GROUP BY known;
CREATE TABLE placed AS
    SELECT numbered.n, given_labels.* EXCLUDE (manifest_id, line_number),
        concat_ws('{PATH_SIGN}', l1, l2, l3) AS path
    FROM given_labels JOIN numbered USING (manifest_id, line_number);
CREATE TABLE told AS
    SELECT n, given, COALESCE(content, n) AS content, foremost FROM numbered LEFT JOIN alike USING (known)
    LEFT JOIN (SELECT n, arg_max(name, (confidence, level)) AS foremost FROM placed GROUP BY n) USING (n);
DROP TABLE numbered; DROP TABLE alike;
CREATE TABLE image AS
    SELECT told.* EXCLUDE (given), given_images.*
    FROM given_images JOIN told ON given_images.rowid = told.given ORDER BY n;
DROP TABLE told; DROP TABLE given_images;
CREATE TABLE node AS
    SELECT (row_number() OVER (ORDER BY path) - 1)::INTEGER AS node, * FROM (
        SELECT DISTINCT 3 AS level, path, concat_ws('{PATH_SIGN}', l1, l2) AS parent, l3 AS name
            FROM placed WHERE l3 IS NOT NULL
        UNION SELECT 2, concat_ws('{PATH_SIGN}', l1, l2), COALESCE(l1, ''), l2 FROM placed
            WHERE l2 IS NOT NULL
        UNION SELECT 1, l1, '', l1 FROM placed WHERE l1 IS NOT NULL);
CREATE TABLE label AS
    SELECT n, node.node, placed.name, confidence, placed.level
    FROM placed JOIN node USING (path, level) ORDER BY n;
CREATE TABLE found AS
    SELECT n, node.node, listed.node AS listed, max(confidence) AS confidence FROM (
        SELECT n, path AS own, level AS own_level, path, level, confidence FROM placed
        UNION ALL SELECT n, path, level, concat_ws('{PATH_SIGN}', l1, l2), 2, confidence FROM placed
            WHERE level = 3 AND l2 IS NOT NULL
        UNION ALL SELECT n, path, level, l1, 1, confidence FROM placed WHERE level > 1 AND l1 IS NOT NULL
    ) AS way JOIN node ON node.path = way.path AND node.level = way.level
    JOIN node AS listed ON listed.path = way.own AND listed.level = way.own_level
    GROUP BY ALL ORDER BY node.node, n;
DROP TABLE placed; DROP TABLE given_labels;
"""  # noqa: S608 - names and conditions of ours

FORMAT = hashlib.sha256("".join((_COLUMNS, _LABELS, _BUILD)).encode()).hexdigest()[:8]
"""Another one when an index is made in another way; part of its file's name."""


class NoSuchLoadError(NeedsAPersonError, LookupError):
    """There is no such load, or the name is none of a load."""


class IndexDamagedError(TransientError):
    """An index cannot be read; the next look makes it anew."""


class LoadIndex:
    """One load's index, for several threads at once.

    :param files: that are open.
    :param path: of its own.
    :param load: its row of `loads`.
    """

    def __init__(self, files: OpenFiles, path: Path, load: dict[str, Any]) -> None:
        self.load = load
        self.is_damaged = False
        self._files = files
        self._path = path

    @property
    def is_gone(self) -> bool:
        """Whether the file was deleted since: images of the load were erased, or room was needed."""
        return not self._path.exists()

    def rows(self, sql: str, parameters: Any = ()) -> list[dict[str, Any]]:
        """The rows of a query of ours, by column."""

        def asked(cursor: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
            answer = cursor.execute(sql, parameters)
            names = [column[0] for column in answer.description or ()]
            return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]

        return self._answer(asked)

    def columns(self, sql: str, parameters: Any = ()) -> pa.Table:
        """The same as Arrow's columns."""
        return self._answer(lambda cursor: cursor.sql(sql, params=parameters or None).to_arrow_table())

    @contextmanager
    def relation(self, sql: str, parameters: Any = ()) -> Iterator[duckdb.DuckDBPyRelation]:
        """The rows of a query of ours, for as long as the block goes on; one after the other has some."""
        with self._cursor(times=3, is_long=True) as cursor:
            yield cursor.sql(sql, params=parameters)

    def _answer(self, asked: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        def answered(times: int) -> T:
            with self._cursor(times=times) as cursor:
                return asked(cursor)

        return with_enough(answered)

    @contextmanager
    def _cursor(self, **how: Any) -> Iterator[duckdb.DuckDBPyConnection]:
        """Damage is met where a block is read: the file is given up, to be made anew."""
        try:
            with self._files.cursor(self._path, self.load["images"], **how) as cursor:
                yield cursor
        except duckdb.Error as error:
            # DuckDB has no class of its own for a checksum that does not fit.
            if not (type(error) is duckdb.Error or isinstance(error, _DAMAGE)):
                raise
            self.is_damaged = True
            self._path.unlink(missing_ok=True)
            raise IndexDamagedError(
                f"what the console knew of load {self.load['load_id']} was damaged on this machine's disk, "
                "and is made anew"
            ) from error


class LoadIndexes:
    """The indexes of this machine: made when first asked for.

    :param folder: where the files are.
    :param max_bytes: of all files together; the least lately used are removed above it.
    """

    def __init__(self, settings: Settings, folder: Path, *, max_bytes: int) -> None:
        self._settings = settings
        self._folder = folder
        self._max_bytes = max_bytes
        self._files = OpenFiles(folder)
        self._known: dict[str, LoadIndex] = {}
        self._making: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def of(self, load_id: str) -> LoadIndex:
        """The index of a load.

        :raises NoSuchLoadError: it is not published.
        :raises moderation.tables.faults.TablesError: the tables cannot be read.
        """
        if not _LOAD_ID.fullmatch(load_id):
            raise NoSuchLoadError(f"{load_id!r} is no load's id")
        with self._lock:
            making = self._making.setdefault(load_id, threading.Lock())
        with making:  # A large load takes long: who looks at another one need not wait for it.
            with self._lock:
                known = self._known.pop(load_id, None)
            if known is not None and (known.is_damaged or known.is_gone):
                known = None
            if known is None:
                load = row_of(read_loads(self._settings), load_id)
                if load is None:
                    raise NoSuchLoadError(f"load {load_id} is not published")
                known = self._opened(load)
            with self._lock:
                self._known[load_id] = known
                while len(self._known) > MOST_KNOWN:
                    self._known.pop(next(iter(self._known)))
        return known

    def _opened(self, load: dict[str, Any]) -> LoadIndex:
        path = self._folder / f"{load['load_id']}-{FORMAT}.duckdb"
        found = LoadIndex(self._files, path, load)
        if path.exists():
            try:
                if found.rows("SELECT count(*) AS images FROM image")[0]["images"] == load["images"]:
                    os.utime(path)
                    return found
            except (duckdb.Error, IndexDamagedError):
                found = LoadIndex(self._files, path, load)  # It is made again from the published files.
            path.unlink(missing_ok=True)
        self._files.forget(path)  # DuckDB would read the one that is no longer there.
        self._make_room()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with whole_file(path) as unfinished:
            with_enough(partial(_build, self._settings, load, unfinished, self._files.rest))
        return found

    def _make_room(self) -> None:
        files = [*self._folder.glob("*.duckdb"), *self._folder.glob(f"*{SUFFIX}")]
        files.sort(key=lambda file: file.stat().st_mtime, reverse=True)
        total = 0
        for file in files:
            total += file.stat().st_size
            if total > self._max_bytes:
                file.unlink(missing_ok=True)

    def close(self) -> None:
        """Close all files."""
        self._files.close()


def _build(
    settings: Settings, load: dict[str, Any], path: Path, rest: Callable[[], None], times: int
) -> None:
    parameters = {"load": load["load_id"]}
    memory = memory_for(load["images"], INDEX, times=times)
    with one_at_a_time(), _written(path, memory, rest) as writer:
        # Rows that are only written need less than what is sorted, and what they are read from has its own.
        writer.execute(f"SET memory_limit = '{memory_for(load['images'], INDEX, times=times, share=2)}'")
        with look_at(settings, times, since=load["dt"], until=load["dt"]) as published:
            for name, sql in (
                ("given_images", f"SELECT {_COLUMNS} FROM images WHERE load_id = $load"),  # noqa: S608 - names of ours
                ("given_labels", _LABELS),
            ):
                reader = published.sql(sql, params=parameters).to_arrow_reader(_AT_ONCE)
                writer.register("incoming", reader)
                writer.execute(f"CREATE TABLE {name} AS SELECT * FROM incoming")  # noqa: S608 - a name of ours
                writer.unregister("incoming")
        writer.execute(f"SET memory_limit = '{memory}'")
        writer.execute(_BUILD)


@contextmanager
def _written(path: Path, memory: str, rest: Callable[[], None]) -> Iterator[duckdb.DuckDBPyConnection]:
    rest()
    config: dict[str, Any] = {"threads": _THREADS, "memory_limit": memory}
    path.unlink(missing_ok=True)  # DuckDB takes an empty file for a damaged one.
    with duckdb.connect(str(path), config=config) as writer:
        writer.execute("SET TimeZone = 'UTC'")
        writer.execute("SET preserve_insertion_order = false")
        yield writer
        writer.execute("CHECKPOINT")
