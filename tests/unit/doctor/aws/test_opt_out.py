from __future__ import annotations

import json

import pytest

from moderation.doctor.aws.opt_out import opt_out

OUT, IN = {"opt_out_policy": "optOut"}, {"opt_out_policy": "optIn"}


@pytest.mark.parametrize(
    ("services", "level"),
    [
        ({"default": OUT}, "ok"),
        ({"rekognition": OUT}, "ok"),
        ({"default": IN, "rekognition": OUT}, "ok"),
        ({"default": OUT, "rekognition": IN}, "warning"),
        ({"lex": OUT}, "warning"),
        ({}, "warning"),
    ],
)
def test_what_is_named_goes_before_the_default(account, stubbed, services, level):
    policy = {"PolicyContent": json.dumps({"services": services}), "TargetId": "1"}
    asked = {"PolicyType": "AISERVICES_OPT_OUT_POLICY"}
    stubbed("organizations").add_response("describe_effective_policy", {"EffectivePolicy": policy}, asked)
    (found,) = opt_out(account)
    assert found.level == level


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("AWSOrganizationsNotInUseException", "none is in force"),
        ("EffectivePolicyNotFoundException", "none is in force"),
        ("AccessDeniedException", "not known"),
    ],
)
def test_an_account_without_one_is_told_from_one_that_may_not_ask(account, stubbed, code, word):
    stubbed("organizations").add_client_error("describe_effective_policy", code)
    (found,) = opt_out(account)
    assert (found.level, word in found.found) == ("warning", True)
