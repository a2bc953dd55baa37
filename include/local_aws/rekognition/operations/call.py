"""One call of an operation, after its signature and its parameters were found good."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from local_aws.rekognition.faults import Struck
from local_aws.rekognition.images.objects import Caller
from local_aws.rekognition.service import Service
from local_aws.rekognition.wire.auth import Identity, user_arn

T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """What a handler gets.

    :param name: the API operation.
    :param parameters: validated input by member name; blobs as parcels, which are closed after the call.
    :param faults: the misbehaviour that this call meets.
    """

    name: str
    service: Service
    identity: Identity
    parameters: dict[str, Any]
    request_id: str
    faults: Struck = field(default_factory=Struck)

    @property
    def caller(self) -> Caller:
        """On whose behalf S3 is used."""
        return Caller(self.identity.access_key, self.identity.region)

    @property
    def user_arn(self) -> str:
        """Who calls, for error texts."""
        return user_arn(self.identity, account_id=self.service.settings.account_id)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run short blocking work beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self.service.control, work)
