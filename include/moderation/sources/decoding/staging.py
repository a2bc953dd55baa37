"""Images of formats that Rekognition refuses, brought to a staging prefix as JPEG and sent from there.

::

    {work_uri}/transcoded/{run_key}/{digest of name and ETag}.jpg

The row stays that of the object: its name, ETag and size. It says what was sent in its place
(``transcoded_from``). Who deletes it is told in ``staged``.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from moderation.reference import error_codes
from moderation.settings import Settings
from moderation.sources import image_header
from moderation.sources.decoding.decoders import CannotShowError, Decoders
from moderation.sources.decoding.staged import folder_uri
from moderation.sources.inspection import Refusals, refused_by_s3, tried_again
from moderation.sources.listing import SCHEMA
from moderation.storage import s3_objects

_AT_ONCE = 2
_CHANGED = {"PreconditionFailed", "412", "NoSuchKey", "404"}


@dataclass
class Staging:
    """The staging of one run; use as a context manager.

    :ivar brought: how many images were brought.
    :param dry_run: look at nothing, and bring nothing: such an image counts as one that can be sent.
    """

    settings: Settings
    s3: Any
    run_key: str
    dry_run: bool = False
    brought: int = 0
    _decoders: Decoders = field(default_factory=lambda: Decoders(_AT_ONCE))

    def __enter__(self) -> Staging:
        return self

    def __exit__(self, *_: object) -> None:
        self._decoders.close()

    def bring(self, portion: pa.Table, refusals: Refusals) -> pa.Table:
        """The rows of a portion, those that can be sent as JPEG with ``sent_as`` and ``transcoded_from``.

        :param portion: rows of :data:`moderation.sources.listing.SCHEMA` whose headers were looked at.
        :param refusals: counts what S3 does not give.
        :raises s3_objects.S3Error: S3 refuses writing, or gives nothing any more; a fault of one object is
            its row's.
        """
        wrong = pc.equal(portion["error_code"], error_codes.INVALID_IMAGE_FORMAT)
        if not pc.any(wrong, min_count=0).as_py():
            return portion
        rows = portion.to_pylist()
        due = [row for row in rows if row["bucket"] is not None and _format(row)]
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="transcode") as pool:
            for refused in pool.map(self._bring_one, due):
                refusals.note(refused)
        self.brought += sum(row["sent_as"] is not None for row in due)
        return pa.Table.from_pylist(rows, schema=SCHEMA)

    def _bring_one(self, row: dict[str, Any]) -> s3_objects.S3Error | None:
        kind = _format(row)
        if self.dry_run:
            row.update(error_code=None, error_message=None, transcoded_from=kind)
            return None
        try:
            body = tried_again(lambda: self._read(row), self.s3, row["bucket"])
        except s3_objects.S3Error as error:
            if error.code in _CHANGED:  # The next run sees what it is then.
                return None
            if not error.key:  # of no object: S3 is away
                raise
            fault = refused_by_s3(error)
            row.update(error_code=fault.code, error_message=fault.message)
            return error
        try:
            made, is_first = self._decoders.whole(body)
        except CannotShowError as error:
            row["error_message"] += f" It could not be transcoded: {error}."
            return None
        if refused := image_header.check_bytes(made):
            row.update(error_code=refused.code, error_message=refused.message)
            return None
        uri = f"{folder_uri(self.settings, self.run_key)}/{_name(row)}.jpg"
        s3_objects.put(self.s3, uri, made, content_type="image/jpeg")
        told = f"{kind}, first {image_header.TRANSCODED[kind]}" if is_first else kind
        row.update(error_code=None, error_message=None, sent_as=uri, transcoded_from=told)
        return None

    def _read(self, row: dict[str, Any]) -> bytes:
        bucket, key = row["bucket"], row["key"]
        unchanged = {"IfMatch": f'"{row["etag"]}"'} if row["etag"] else {}
        with (
            s3_objects.named_errors("read", bucket, key),
            closing(self.s3.get_object(Bucket=bucket, Key=key, **unchanged)["Body"]) as body,
        ):
            data: bytes = body.read()
        return data


def _format(row: dict[str, Any]) -> str:
    return image_header.transcoded_kind(row["error_code"], row["error_message"])


def _name(row: dict[str, Any]) -> str:
    told = "\0".join([row["source_ref"], row["etag"] or ""])
    return hashlib.sha256(told.encode()).hexdigest()[:40]
