"""What the account may do at once, beside what the settings say."""

from __future__ import annotations

from collections.abc import Iterator

from botocore.exceptions import BotoCoreError, ClientError

from moderation.analyse.detect import quota
from moderation.doctor.aws import refusals
from moderation.doctor.aws.account import Account
from moderation.doctor.finding import Finding, ok, warning
from moderation.reference import limits

_STATEMENT = "LookUpTheCallsASecond"


def calls(account: Account) -> Iterator[Finding]:
    """DetectModerationLabels: what Service Quotas says, else AWS's default."""
    settings = account.settings
    default = limits.quotas(settings.region).detect_tps
    told, trouble = _asked(account)
    if trouble is not None:
        yield trouble
    quoted = told if told is not None else default
    by = "Service Quotas" if told is not None else "AWS's published default"
    found = f"{quoted:g} calls a second by {by}"
    if settings.detect_tps is None:
        yield ok(f"{found}; a million images take {1e6 / quoted / 3600:,.1f} hours")
    elif settings.detect_tps > quoted:
        yield warning(
            f"{found}; MODERATION_DETECT_TPS={settings.detect_tps:g} is more, and AWS would slow calls down",
            f"have the quota raised in Service Quotas, or set MODERATION_DETECT_TPS={quoted:g}",
        )
    else:
        yield ok(f"{found}; MODERATION_DETECT_TPS={settings.detect_tps:g} is used")


def jobs(account: Account) -> Iterator[Finding]:
    """Bulk jobs at once: no service lists this quota by a name that AWS has published."""
    settings = account.settings
    published = limits.quotas(settings.region).bulk_concurrent_jobs
    if not published:
        return
    at_once = settings.bulk_concurrent_jobs or published
    pace = at_once * settings.bulk_job_images_per_second
    found = (
        f"{at_once} at once, AWS's default is {published}; a million images take "
        f"{1e6 / pace / 3600:,.1f} hours at the assumed {settings.bulk_job_images_per_second:g} images "
        "a second and job"
    )
    if at_once > published:
        yield warning(
            f"{found}; whether the account has more than the default cannot be asked",
            "look at Service Quotas in the AWS console, or unset MODERATION_BULK_CONCURRENT_JOBS",
        )
    else:
        yield ok(found)


def _asked(account: Account) -> tuple[float | None, Finding | None]:
    """What Service Quotas says, or why it says nothing."""
    client = account.of_aws("service-quotas")
    if client is None:
        return None, None
    try:
        return quota.look_up(client), None
    except (ClientError, BotoCoreError) as error:
        said = f"Service Quotas: {refusals.message_of(error)}"
        if refusals.is_denied(error):
            actions = "servicequotas:ListServiceQuotas and servicequotas:ListAWSDefaultServiceQuotas"
            return None, warning(said, refusals.remedy(error, actions=actions, on="*", statement=_STATEMENT))
        return None, warning(said, "set MODERATION_DETECT_TPS to the quota that the AWS console shows")
