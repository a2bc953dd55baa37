"""Files of the tables by credentials that end while a catalog is open: each use takes those of now.

A role's credentials end after an hour, a compaction may take longer. Arrow's S3 client keeps those that it
was made with; botocore renews its own shortly before they end. So whoever opens a file gets the client made
of what botocore has now, and the one before goes on where it reads already.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from botocore.credentials import Credentials, ReadOnlyCredentials, RefreshableCredentials
from pyarrow.fs import FileSystem
from pyiceberg.io import PY_IO_IMPL
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.typedef import EMPTY_DICT, Properties

_HELD = "moderation.credentials"


@dataclass(frozen=True)
class _Keys:
    """Credentials of this process, and those of buckets that are used with others."""

    own: Credentials | None
    by_bucket: Mapping[str, Credentials]

    def of(self, bucket: str | None) -> ReadOnlyCredentials | None:
        found = self.by_bucket.get(bucket or "", self.own)
        return found.get_frozen_credentials() if found else None


_renewed: dict[str, _Keys] = {}
"""By a name that stands among the catalog's properties, which are text."""


@contextmanager
def properties(
    credentials: Credentials | None, by_bucket: Mapping[str, Credentials] | None = None
) -> Iterator[dict[str, str]]:
    """What a catalog's properties say of credentials; those that end are renewed in the block.

    :param by_bucket: of buckets that are used with others than ``credentials``.
    """
    if not by_bucket and not isinstance(credentials, RefreshableCredentials):
        yield _as_properties(credentials.get_frozen_credentials()) if credentials else {}
        return
    name = uuid.uuid4().hex
    _renewed[name] = _Keys(credentials, by_bucket or {})
    try:
        yield {PY_IO_IMPL: f"{__name__}.{RenewedFileIO.__name__}", _HELD: name}
    finally:
        del _renewed[name]


class RenewedFileIO(PyArrowFileIO):
    """Files by the credentials that :func:`properties` holds."""

    def __init__(self, properties: Properties = EMPTY_DICT) -> None:
        super().__init__(properties)
        self._remember()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Unpickle."""
        super().__setstate__(state)
        self._remember()

    def __getstate__(self) -> dict[str, Any]:
        """Pickle without clients."""
        return {**super().__getstate__(), "_made": None}

    def _remember(self) -> None:
        self._made = lru_cache(maxsize=8)(self._make)
        self.fs_by_scheme = self._by_scheme

    def _by_scheme(self, scheme: str, netloc: str | None) -> FileSystem:
        held = _renewed.get(self.properties[_HELD])
        return self._made(scheme, netloc, held.of(netloc) if held else None)

    def _make(self, scheme: str, netloc: str | None, frozen: ReadOnlyCredentials | None) -> FileSystem:
        own = _as_properties(frozen) if frozen else {}
        return PyArrowFileIO({**self.properties, **own})._initialize_fs(scheme, netloc)


def _as_properties(frozen: ReadOnlyCredentials) -> dict[str, str]:
    token = {"s3.session-token": frozen.token} if frozen.token else {}
    return {"s3.access-key-id": frozen.access_key, "s3.secret-access-key": frozen.secret_key, **token}
