"""The table of checks of an account, in the order in which they are told."""

from __future__ import annotations

from collections.abc import Iterator

from moderation.doctor.aws import caller, opt_out, places, quotas, rekognition, tables
from moderation.doctor.aws.account import Account
from moderation.doctor.finding import Check, Finding, Level, warning
from moderation.doctor.report import look as look_at

ENDPOINTS = Check("endpoints", caller.endpoints)
CREDENTIALS = Check("caller", caller.credentials)
CHECKS = (
    Check("clock", caller.clock),
    Check("region", rekognition.region),
    Check("bulk jobs", rekognition.bulk_jobs),
    Check("calls", rekognition.single_calls),
    Check("call quota", quotas.calls),
    Check("job quota", quotas.jobs),
    Check("adapter", rekognition.adapter),
    Check("work", places.work),
    Check("tables", places.tables),
    Check("uploads", places.uploads),
    Check("source", places.sources),
    Check("catalog", tables.catalog),
    Check("warehouse", tables.warehouses),
    Check("this month", tables.this_month),
    Check("opt-out", opt_out.opt_out),
)


def look(account: Account) -> Iterator[tuple[str, Finding]]:
    """What each check finds, with its name; the rest is left out where nothing at all can be asked."""
    yield from look_at([ENDPOINTS], account)
    asked = list(look_at([CREDENTIALS], account))
    yield from asked
    if any(finding.level is Level.STOP for _, finding in asked):
        yield "others", warning("were not looked at, for want of S3", "mend the line above and run again")
        return
    yield from look_at(CHECKS, account)
