"""What pyiceberg does anew for each look at a table, though nothing changed: two fifths of a publish.

pyiceberg has no setting for it. What is kept is told apart by the whole text of the file, or by the very
objects: nothing that a test changes on a disk is seen late.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from pyiceberg.avro import file as avro_file
from pyiceberg.avro.file import AvroFileHeader
from pyiceberg.avro.reader import Reader
from pyiceberg.expressions import parser
from pyiceberg.schema import Schema
from pyiceberg.table import Transaction
from pyiceberg.table.metadata import (
    TableMetadata,
    TableMetadataUtil,
    TableMetadataV1,
    TableMetadataV2,
    TableMetadataV3,
)
from pyiceberg.table.update import update_table_metadata
from pyiceberg.typedef import IcebergBaseModel
from pyiceberg.utils import config
from pyiceberg.utils.schema_conversion import AvroSchemaConversion

_parse = lru_cache(maxsize=64)(TableMetadataUtil.parse_raw)
_filter = lru_cache(maxsize=1024)(parser.parse)
_load_yaml = lru_cache(maxsize=16)(config.strictyaml.load)
_get_schema = AvroFileHeader.get_schema
_resolve = avro_file.resolve_reader
_LAST = "_last_table_metadata"
_readers: dict[tuple[Any, ...], tuple[Schema, Schema, Reader]] = {}


def read_once() -> None:
    """
    Let this process read a metadata file of the same text once, and a transaction work its own out once.

    How files of manifests are read follows from their schema, which is part of the text, and what a filter
    means from its text: both are worked out once too. The objects are frozen and pyiceberg changes copies, so
    that who asks sees what it always saw; for the same reason what an update leaves as it was is not copied
    to the last field, a sixth of a publish. Its configuration it reads at each commit, and parses for 7 ms.
    """
    for version in (TableMetadataV1, TableMetadataV2, TableMetadataV3):
        version.model_copy = _copy
    TableMetadataUtil.parse_raw = staticmethod(_parse)
    Transaction.table_metadata = property(_table_metadata)
    AvroFileHeader.get_schema = _schema_of
    avro_file.resolve_reader = _reader
    parser.parse = _filter
    config.strictyaml = SimpleNamespace(load=_load_yaml)


def _copy(
    metadata: TableMetadata, *, update: Mapping[str, Any] | None = None, deep: bool = False
) -> TableMetadata:
    return IcebergBaseModel.model_copy(metadata, update=update)


def _table_metadata(transaction: Transaction) -> TableMetadata:
    base, updates = transaction._table.metadata, transaction._updates
    last = transaction.__dict__.get(_LAST)
    if last is None or last[0] is not base or last[1] is not updates:
        last = transaction.__dict__[_LAST] = (base, updates, update_table_metadata(base, updates))
    found: TableMetadata = last[2]
    return found


def _schema_of(header: AvroFileHeader) -> Schema:
    text = header.meta.get(avro_file._SCHEMA_KEY)
    return _schema(text) if text else _get_schema(header)  # which says of a damaged file that it has none


@lru_cache(maxsize=256)
def _schema(text: str) -> Schema:
    return AvroSchemaConversion().avro_to_iceberg(json.loads(text))


def _reader(
    written: Schema, wanted: Schema, types: Mapping[int, type], enums: Mapping[int, Callable[..., Any]]
) -> Reader:
    key = (id(written), id(wanted), tuple(types.items()), tuple(enums.items()))
    if key not in _readers:
        _readers[key] = (written, wanted, _resolve(written, wanted, types, enums))  # kept, so is their id
    return _readers[key][2]
