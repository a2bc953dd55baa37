"""Taking in the body of a request: not more than is allowed, and not for longer than is allowed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import ClientDisconnect, Request

from local_aws.rekognition.images.parcels import Parcel
from local_aws.rekognition.wire.errors import ApiError

_DRAIN_SECONDS = 5.0


@dataclass(frozen=True)
class Bounds:
    """What a body may be.

    :param size: bytes.
    :param idle_seconds: how long a client may send nothing.
    :param seconds: how long the whole body may take.
    :param folder: where large bodies wait.
    """

    size: int
    idle_seconds: float
    seconds: float
    folder: Path


class Intake:
    """The body of one request.

    Until it is whole, a body takes room in a file and nothing that another request could need: a client that
    stops in the middle holds up nobody.
    """

    def __init__(self, request: Request, bounds: Bounds) -> None:
        self._request = request
        self._bounds = bounds
        self._whole = False

    @property
    def is_whole(self) -> bool:
        """Whether the client has nothing more to send."""
        return self._whole

    async def take(self) -> Parcel:
        """Read the body; the caller closes the parcel.

        :raises ApiError: RequestEntityTooLargeException: nothing beyond the bound is read;
            RequestTimeoutException: the client stopped sending, or sends too slowly.
        :raises ClientDisconnect: the client has gone.
        """
        too_large = ApiError(
            "RequestEntityTooLargeException", f"The request is larger than {self._bounds.size} bytes."
        )
        if self._declared() > self._bounds.size:
            raise too_large
        parcel = Parcel(self._bounds.folder)
        try:
            async with asyncio.timeout(self._bounds.seconds):
                async for chunk in self._chunks():
                    if parcel.size + len(chunk) > self._bounds.size:
                        raise too_large
                    parcel.write(chunk)
        except TimeoutError:
            parcel.close()
            text = "The request was not received within the time allowed."
            raise ApiError("RequestTimeoutException", text) from None
        except BaseException:
            parcel.close()
            raise
        return parcel

    async def drain(self) -> None:
        """Read the rest and drop it, for a short while.

        A server that closes a connection with bytes unread resets it, and its answer may then never reach the
        client, which is still sending.
        """
        if self._request.headers.get("expect", "").lower() == "100-continue":
            return
        left = self._bounds.size
        with contextlib.suppress(TimeoutError, ClientDisconnect):
            async with asyncio.timeout(_DRAIN_SECONDS):
                async for chunk in self._chunks():
                    left -= len(chunk)
                    if left < 0:
                        return

    async def _chunks(self) -> AsyncIterator[bytes]:
        while not self._whole:
            async with asyncio.timeout(self._bounds.idle_seconds):
                message = await self._request.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            self._whole = not message.get("more_body", False)
            yield message.get("body", b"")

    def _declared(self) -> int:
        text = self._request.headers.get("content-length", "0")
        return int(text) if text.isdecimal() else 0
