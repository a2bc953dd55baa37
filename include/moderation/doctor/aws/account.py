"""The account that is looked at: its settings, who asks, and clients that wait for nobody for long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from botocore.config import Config

from moderation.settings import DagSettings, Settings
from moderation.storage import s3_objects

_AWS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws", ".amazonwebservices.com.cn")
_PATIENCE: dict[str, Any] = {
    "retries": {"total_max_attempts": 2, "mode": "standard"},
    "connect_timeout": 5,
    "read_timeout": 20,
}
"""For the botocore Config: who looks wants to know soon."""


@dataclass
class Account:
    """What is looked at.

    :param sources: what is to be moderated, beside ``MODERATION_SOURCE``.
    :param now: the clock of this machine.
    :ivar skews: how many seconds this machine's clock was ahead of S3's, at each answer.
    """

    settings: Settings
    nightly: DagSettings
    sources: tuple[str, ...] = ()
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    skews: list[float] = field(default_factory=list)
    _clients: dict[str, Any] = field(default_factory=dict)

    @property
    def s3(self) -> Any:
        """A boto3 client for S3."""
        return self._client("s3")

    @property
    def rekognition(self) -> Any:
        """A boto3 client for Rekognition."""
        return self._client("rekognition")

    def of_aws(self, service: str) -> Any | None:
        """A boto3 client for another service of the account; None where this is no account of AWS.

        Whoever has an S3 and a Rekognition of their own is not led to AWS by a service that has no endpoint.
        """
        client = self._client(service)
        return None if not self.is_aws and _leads_to_aws(client) else client

    @property
    def is_aws(self) -> bool:
        """Whether S3 and Rekognition are AWS's."""
        return _leads_to_aws(self.s3) and _leads_to_aws(self.rekognition)

    def close(self) -> None:
        """Close the clients."""
        for client in self._clients.values():
            client.close()

    def _client(self, service: str) -> Any:
        if service not in self._clients and service == "s3":
            # As every part of the pipeline opens it: with the role of each bucket.
            self._clients[service] = s3_objects.client(self.settings, patience=Config(**_PATIENCE))
            self._clients[service].meta.events.register("response-received.s3", self._compare_clocks)
        elif service not in self._clients:
            self._clients[service] = s3_objects.session().client(
                service, region_name=self.settings.region, config=Config(**_PATIENCE)
            )
        return self._clients[service]

    def _compare_clocks(self, response_dict: dict[str, Any] | None, **_: Any) -> None:
        told = {} if response_dict is None else response_dict["headers"]
        if date := told.get("date"):
            self.skews.append((self.now() - parsedate_to_datetime(date)).total_seconds())


@contextmanager
def opened(settings: Settings, sources: tuple[str, ...] = ()) -> Iterator[Account]:
    """The account of these settings, whose clients are closed at the end of the block.

    :raises moderation.variables.table.SettingsError: what a Dag goes by is malformed.
    """
    account = Account(settings, DagSettings.from_env(), sources)
    try:
        yield account
    finally:
        account.close()


def _leads_to_aws(client: Any) -> bool:
    return (urlsplit(client.meta.endpoint_url).hostname or "").endswith(_AWS)
