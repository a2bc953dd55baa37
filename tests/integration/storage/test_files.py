"""Files in S3, read as streams."""

from __future__ import annotations

import pytest

from moderation.settings import Settings
from moderation.storage.files import Storage
from moderation.storage.s3_objects import S3Unavailable
from support.odd_s3 import MODIFIED, serving, whole


def test_a_file_that_s3_sends_half_of_is_none_and_passes_by_itself(tmp_path, aws_env):
    half = whole("200 OK", MODIFIED + b'ETag: "abc"\r\n', b"half", length="8")
    with serving({"file.parquet": half}) as address:
        aws_env.setenv("AWS_ENDPOINT_URL_S3", address)
        with (
            Storage(Settings(tables_uri="s3://bucket/tables")) as storage,
            pytest.raises(S3Unavailable, match=r"file\.parquet"),
        ):
            storage.copy_to("s3://bucket/file.parquet", tmp_path / "file.parquet")
