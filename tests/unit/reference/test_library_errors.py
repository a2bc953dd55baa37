from __future__ import annotations

import errno

import botocore.exceptions as boto_errors
import duckdb
import psycopg
import pytest
import sqlalchemy.exc
from pyiceberg.exceptions import CommitFailedException

from moderation.errors import DefectError, NeedsAPersonError, TransientError
from moderation.reference.library_errors import is_disk_full, named


def answered(code, status=400):
    response = {"Error": {"Code": code, "Message": "why"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return boto_errors.ClientError(response, "GetMediaAnalysisJob")


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (boto_errors.NoCredentialsError(), NeedsAPersonError, "AWS_ACCESS_KEY_ID"),
        (boto_errors.NoRegionError(), NeedsAPersonError, "set AWS_REGION"),
        (boto_errors.ProfileNotFound(profile="night"), NeedsAPersonError, "night"),
        (boto_errors.EndpointConnectionError(endpoint_url="http://x"), TransientError, "http://x"),
        (boto_errors.ReadTimeoutError(endpoint_url="http://x"), TransientError, "AWS_ENDPOINT_URL"),
        (answered("ResourceNotFoundException"), NeedsAPersonError, "GetMediaAnalysisJob: ResourceNotFound"),
        (answered("ThrottlingException"), TransientError, "why"),
        (answered("ACodeOfTomorrow", 500), TransientError, "ACodeOfTomorrow"),
        (OSError(errno.ENOSPC, "No space left on device", "/data/x"), NeedsAPersonError, "make room"),
        (PermissionError(errno.EACCES, "Permission denied", "/data/x"), NeedsAPersonError, "/data/x"),
        (FileNotFoundError(errno.ENOENT, "No such file", "/data/x"), NeedsAPersonError, "/data/x"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), TransientError, "run again"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), TransientError, "reset"),
        (TimeoutError("slow"), TransientError, "slow"),
        (
            OSError("When listing: AWS Error NETWORK_CONNECTION during ListObjectsV2"),
            TransientError,
            "ENDPOINT",
        ),
        (OSError("When listing: AWS Error ACCESS_DENIED during HeadObject"), NeedsAPersonError, "rights"),
        (MemoryError(), NeedsAPersonError, "memory"),
        (
            duckdb.OutOfMemoryException("full\n\nPossible solutions"),
            NeedsAPersonError,
            "full; set MODERATION_",
        ),
        (CommitFailedException("changed"), TransientError, "changed"),
        (sqlalchemy.exc.OperationalError("SELECT 1", {}, Exception("locked")), TransientError, "locked"),
        (psycopg.OperationalError("gone"), TransientError, "gone"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_librarys_error_that_slipped_through_gets_a_kind_and_a_remedy(error, kind, says):
    found = named(error)

    assert isinstance(found, kind)
    assert says in str(found)
    assert found.__cause__ is error


@pytest.mark.parametrize("error", [NeedsAPersonError("a"), TransientError("b"), DefectError("c")])
def test_an_error_of_a_kind_stays_as_it_is(error):
    assert named(error) is error


@pytest.mark.parametrize(
    "error", [KeyError("x"), AssertionError(), OSError("without a number"), ValueError("x")]
)
def test_what_nobody_has_thought_of_is_a_defect(error):
    assert named(error) is None


@pytest.mark.parametrize(
    ("error", "full"),
    [(OSError(errno.EDQUOT, "quota"), True), (OSError(errno.EACCES, "no"), False), (ValueError("x"), False)],
)
def test_a_full_disk_is_told_by_its_number(error, full):
    assert is_disk_full(error) is full
