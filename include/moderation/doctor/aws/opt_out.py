"""Whether the organization keeps AWS from using the images to improve its services.

Rekognition is among the services whose content AWS may use unless a policy of the kind
AISERVICES_OPT_OUT_POLICY says otherwise (Organizations user guide, "AI services opt-out policies").
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from moderation.doctor.aws import refusals
from moderation.doctor.aws.account import Account
from moderation.doctor.finding import Finding, ok, warning

_KIND = "AISERVICES_OPT_OUT_POLICY"
_NONE = {"AWSOrganizationsNotInUseException", "EffectivePolicyNotFoundException"}
_HOW = (
    "have the organization set an AI services opt-out policy for rekognition, if images must not be used so"
)


def opt_out(account: Account) -> Iterator[Finding]:
    """The policy that is in force for this account."""
    client = account.of_aws("organizations")
    if client is None:
        yield ok("asked of AWS only")
        return
    try:
        policy = client.describe_effective_policy(PolicyType=_KIND)["EffectivePolicy"]["PolicyContent"]
    except (ClientError, BotoCoreError) as error:
        code = refusals.code_of(error)
        if code in _NONE:
            yield warning(f"none is in force ({code}): AWS may use images to improve Rekognition", _HOW)
        else:
            yield warning(
                f"not known: {refusals.message_of(error)}",
                "allow the role organizations:DescribeEffectivePolicy "
                "(statement LookAtTheAccount), or ask who administers the organization",
            )
        return
    if _opted_out(policy):
        yield ok("AWS uses no images to improve its services")
    else:
        yield warning("it leaves Rekognition in: AWS may use images to improve it", _HOW)


def _opted_out(content: str) -> bool:
    """Whether an effective policy keeps Rekognition's content back; what is named goes before the default."""
    try:
        services: Any = json.loads(content).get("services", {})
        chosen = services.get("rekognition") or services.get("default") or {}
        return chosen.get("opt_out_policy") == "optOut"
    except (ValueError, AttributeError):
        return False
