from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from moderation.doctor.aws import caller


@pytest.mark.parametrize(
    ("seconds", "level"),
    [(0, "ok"), (59, "ok"), (-61, "warning"), (299, "warning"), (-301, "stop"), (900, "stop")],
)
def test_a_clock_is_wrong_by_so_much_as_aws_minds(account, seconds, level):
    now = datetime(2026, 11, 29, 12, tzinfo=UTC)
    account.now = lambda: now + timedelta(seconds=seconds)
    told = {"headers": {"date": "Sun, 29 Nov 2026 12:00:00 GMT"}}
    account.s3.meta.events.emit("response-received.s3.ListObjectsV2", response_dict=told)
    (found,) = caller.clock(account)
    assert found.level == level


def test_who_asks_is_told_by_aws(account, stubbed):
    stubbed("s3").add_response("list_objects_v2", {})
    who = {"Arn": "arn:aws:sts::123456789012:assumed-role/workers/me", "Account": "123456789012"}
    stubbed("sts").add_response("get_caller_identity", who)
    (found,) = caller.credentials(account)
    assert (found.level, "role/workers" in found.found) == ("ok", True)


@pytest.mark.parametrize(
    ("code", "helps"), [("ExpiredToken", "log in again"), ("RequestTimeTooSkewed", "set the clock")]
)
def test_credentials_that_are_taken_nowhere_stop_with_what_helps(account, stubbed, code, helps):
    stubbed("s3").add_client_error("list_objects_v2", code, http_status_code=403)
    (found,) = caller.credentials(account)
    assert (found.level, helps in found.remedy) == ("stop", True)


def test_a_key_without_rights_on_the_bucket_is_still_one(account, stubbed):
    stubbed("s3").add_client_error("list_objects_v2", "AccessDenied", http_status_code=403)
    stubbed("sts").add_client_error("get_caller_identity", "InvalidClientTokenId")
    (found,) = caller.credentials(account)
    assert (found.level, "no such key" in found.remedy) == ("stop", True)
