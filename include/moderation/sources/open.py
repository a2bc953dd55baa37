"""The source that a text names; a new kind of source is a module here and a row of `KINDS`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from moderation.sources import failed_of_load, filters
from moderation.sources.base import Source, SourceError
from moderation.sources.failed_of_load import FailedOfLoad
from moderation.sources.filters import Filtered
from moderation.sources.local_folder import LocalFolder
from moderation.sources.s3_prefix import S3Prefix
from moderation.sources.told import chunk, key_list, metadata_table
from moderation.sources.told.chunk import Chunk
from moderation.sources.told.inventory import Inventory
from moderation.sources.told.key_list import KeyList
from moderation.sources.told.metadata_table import MetadataTable
from moderation.storage import s3_objects


class Kind(NamedTuple):
    """A kind of source.

    :param is_named_by: whether a text names a source of this kind; asked in the order of `KINDS`.
    :param open: makes the source of such a text; it looks at nothing outside.
    """

    is_named_by: Callable[[str], bool]
    open: Callable[[str], Source]


KINDS = (
    Kind(lambda text: text.startswith(failed_of_load.PREFIX), FailedOfLoad.parse),
    Kind(lambda text: text.startswith(key_list.PREFIX), KeyList),
    Kind(lambda text: text.startswith(chunk.PREFIX), Chunk.parse),
    Kind(lambda text: text.startswith(metadata_table.PREFIX), MetadataTable.parse),
    Kind(lambda text: text.startswith("s3://") and text.endswith("/manifest.json"), Inventory),
    Kind(lambda text: text.startswith("s3://"), S3Prefix),
    Kind(lambda text: text != "" and "://" not in text, LocalFolder),
)


def open_source(text: str) -> Source:
    """The source that ``text`` names.

    - ``s3://bucket/folder``: the objects in that folder, at any depth, or the one object of that key;
    - ``s3://bucket/start*``: all objects whose key begins with ``start``;
    - ``s3://bucket/…/manifest.json``: the objects in an S3 Inventory report (CSV, ORC or Parquet);
    - ``list:s3://bucket/keys.csv`` or ``list:/path/keys.txt``: what a file names (:class:`KeyList`);
    - ``table:<catalog>/<namespace>.<table>``: a table of S3 Metadata (:class:`MetadataTable`);
    - ``chunk:s3://…``: a part of an archive (:class:`Chunk`);
    - ``load:<load_id>``: what a published load could not moderate (:class:`FailedOfLoad`);
    - anything else: a local folder, uploaded first.

    Each may be followed by `` | `` and a filter (:class:`Filtered`): ``s3://bucket/photos | *.jpg, age<7d``.

    :raises SourceError: it is none of these, or the filter cannot be read.
    """
    text, filtered, terms = text.partition(filters.SEPARATOR)
    source = _open(text)
    return Filtered.parse(source, terms) if filtered else source


def _open(text: str) -> Source:
    text = text.strip()  # blanks around a pasted address mean nothing
    text = text.removeprefix("file://") if text.startswith("file:///") else text
    for kind in KINDS:
        if kind.is_named_by(text):
            _check_bucket(text)
            return kind.open(text)
    raise SourceError(f"source {text!r}: expected s3://bucket/prefix or a local folder")


def _check_bucket(text: str) -> None:
    if text.startswith("s3://"):
        try:
            s3_objects.split_uri(text)
        except ValueError as error:
            raise SourceError(f"source {error}") from error
