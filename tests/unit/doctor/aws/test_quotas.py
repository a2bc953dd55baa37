from __future__ import annotations

from dataclasses import replace

import pytest

from moderation.doctor.aws import quotas

QUOTA = {"QuotaName": "Transactions per second of DetectModerationLabels", "Value": 120.0}


@pytest.mark.parametrize(
    ("set_to", "level", "word"),
    [(None, "ok", "120 calls a second by Service Quotas"), (100.0, "ok", "=100"), (200.0, "warning", "=200")],
)
def test_what_is_set_is_held_against_what_the_account_has(account, stubbed, set_to, level, word):
    stubbed("service-quotas").add_response("list_service_quotas", {"Quotas": [QUOTA]})
    account.settings = replace(account.settings, detect_tps=set_to)
    (found,) = quotas.calls(account)
    assert (found.level, word in found.found) == (level, True)


def test_a_quota_that_may_not_be_looked_up_is_the_published_one_and_says_so(account, stubbed):
    stubbed("service-quotas").add_client_error("list_service_quotas", "AccessDeniedException")
    refused, used = quotas.calls(account)
    assert (refused.level, "statement LookUpTheCallsASecond" in refused.remedy) == ("warning", True)
    assert (used.level, "50 calls a second by AWS's published default" in used.found) == ("ok", True)


@pytest.mark.parametrize(("at_once", "level"), [(None, "ok"), (10, "ok"), (40, "warning")])
def test_more_jobs_than_published_are_a_claim_that_nobody_can_check(account, at_once, level):
    account.settings = replace(account.settings, bulk_concurrent_jobs=at_once)
    (found,) = quotas.jobs(account)
    assert found.level == level
