"""Where the calls a second come from, by botocore's own model of Service Quotas."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from moderation.analyse.detect.quota import REMEMBERED_FOR, detect_tps, look_up
from moderation.settings import Settings
from support.fake_s3 import FakeS3

SETTINGS = replace(Settings.from_env({}), region="eu-central-1")
DEFAULT = 5.0
NAME = "Transactions per second per account for the Amazon Rekognition Image operation DetectModerationLabels"
OTHERS = [
    {"QuotaName": NAME.replace("DetectModerationLabels", "DetectLabels"), "Value": 7.0},
    {"QuotaName": NAME.replace("DetectModerationLabels", "StartContentModeration"), "Value": 8.0},
]


@pytest.fixture
def stub() -> Iterator[Stubber]:
    client = boto3.client(
        "service-quotas", region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    with Stubber(client) as stubber:
        yield stubber
    client.close()


def listed(stub: Stubber, *pages: list[dict[str, Any]], default: bool = False) -> None:
    method = "list_aws_default_service_quotas" if default else "list_service_quotas"
    for number, page in enumerate(pages):
        asked: dict[str, Any] = {"ServiceCode": "rekognition"}
        answer: dict[str, Any] = {"Quotas": page}
        if number:
            asked["NextToken"] = str(number)
        if number + 1 < len(pages):
            answer["NextToken"] = str(number + 1)
        stub.add_response(method, answer, asked)


def test_the_accounts_own_quota_is_found_by_its_name_on_any_page(stub: Stubber) -> None:
    listed(
        stub,
        OTHERS,
        [{"QuotaName": NAME, "Value": 120.0, "Period": {"PeriodValue": 1, "PeriodUnit": "SECOND"}}],
    )
    assert look_up(stub.client) == 120.0
    stub.assert_no_pending_responses()


def test_a_quota_without_a_value_of_the_account_has_its_default(stub: Stubber) -> None:
    listed(stub, OTHERS)
    listed(stub, [*OTHERS, {"QuotaName": NAME, "Value": 50.0}], default=True)
    assert look_up(stub.client) == 50.0


@pytest.mark.parametrize(
    ("period", "tps"),
    [({"PeriodValue": 1, "PeriodUnit": "MINUTE"}, 2.0), ({"PeriodValue": 10, "PeriodUnit": "SECOND"}, 12.0)],
)
def test_a_quota_for_another_time_is_one_for_a_second(stub: Stubber, period: Any, tps: float) -> None:
    listed(stub, [{"QuotaName": NAME, "Value": 120.0, "Period": period}])
    assert look_up(stub.client) == tps


def test_what_is_set_is_used_and_nobody_is_asked(stub: Stubber) -> None:
    found = detect_tps(replace(SETTINGS, detect_tps=9.0), s3=FakeS3(), open_client=lambda: stub.client)
    assert found == 9.0


def test_the_answer_is_remembered_for_an_hour(stub: Stubber) -> None:
    s3 = FakeS3()
    listed(stub, [{"QuotaName": NAME, "Value": 120.0}])
    for _ in range(3):
        assert detect_tps(SETTINGS, s3=s3, open_client=lambda: stub.client) == 120.0
    s3.now += REMEMBERED_FOR.total_seconds() + 1
    listed(stub, [{"QuotaName": NAME, "Value": 150.0}])
    assert detect_tps(SETTINGS, s3=s3, open_client=lambda: stub.client) == 150.0


def test_a_denied_look_up_falls_back_to_the_published_quota_with_one_line(
    stub: Stubber, caplog: pytest.LogCaptureFixture
) -> None:
    s3 = FakeS3()
    stub.add_client_error("list_service_quotas", "AccessDeniedException", "not authorized", 400)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            assert detect_tps(SETTINGS, s3=s3, open_client=lambda: stub.client) == DEFAULT
    (record,) = caplog.records
    assert "servicequotas:ListServiceQuotas" in record.getMessage()
    assert "not authorized" in record.getMessage()


def test_an_operation_that_is_not_listed_has_the_published_quota(stub: Stubber) -> None:
    listed(stub, OTHERS)
    listed(stub, OTHERS, default=True)
    assert detect_tps(SETTINGS, s3=FakeS3(), open_client=lambda: stub.client) == DEFAULT


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"calls_per_second": "many"}', b'{"calls_per_second": -1}', b"7"]
)
def test_a_damaged_memory_is_asked_for_anew(stub: Stubber, body: bytes) -> None:
    s3 = FakeS3()
    s3.put_object(Key="account/detect-quota/eu-central-1.json", Body=body)
    listed(stub, [{"QuotaName": NAME, "Value": 120.0}])
    assert detect_tps(SETTINGS, s3=s3, open_client=lambda: stub.client) == 120.0


def test_the_policy_grants_the_look_up_and_the_adapter_check() -> None:
    policy = json.loads((Path(__file__).parents[4] / "docs" / "iam-policy.json").read_text())
    granted = {action for statement in policy["Statement"] for action in statement["Action"]}
    assert granted >= {
        "servicequotas:ListServiceQuotas",
        "servicequotas:ListAWSDefaultServiceQuotas",
        "rekognition:DescribeProjects",
        "rekognition:DescribeProjectVersions",
    }
