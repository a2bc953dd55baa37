"""An account whose services answer by botocore's own models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from moderation.doctor.aws.account import Account
from moderation.settings import DagSettings, Settings


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """One of AWS, by its endpoints; nobody is asked."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    account = Account(Settings.from_env({}), DagSettings.from_env({}))
    assert account.is_aws
    yield account
    account.close()


@pytest.fixture
def stubbed(account: Account) -> Iterator[Callable[[str], Stubber]]:
    """Gives the stub of a service of the account."""
    stubs = []

    def stubbed(service: str) -> Stubber:
        client: Any = boto3.client(
            service, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
        )
        account._clients[service] = client
        stubs.append(Stubber(client))
        stubs[-1].activate()
        return stubs[-1]

    yield stubbed
    for stub in stubs:
        stub.deactivate()
