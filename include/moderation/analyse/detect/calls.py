"""One DetectModerationLabels call and what its failure is about: the image, the moment, or everything."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import orjson
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    MetadataRetrievalError,
    ParamValidationError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.parsers import ResponseParserError

from moderation.analyse.detect.errors import DetectDenied, DetectRequestRefused
from moderation.analyse.detect.pacing import Pacer, ShareControl
from moderation.reference import error_codes

CONNECTION_FAILED = "ConnectionFailed"
"""Code of an image whose calls got no answer of AWS's: connections refused or cut, timeouts, proxies."""

_RAW = "RawBody"
_PROBE_MEMORY_SECONDS = 30.0

# Not about an image, whatever the image [DetectModerationLabels in service-2.json; common errors of AWS].
_DENIED = frozenset(
    {
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "InvalidClientTokenId",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "IncompleteSignatureException",
        "ExpiredToken",
        "ExpiredTokenException",
        "OptInRequired",
        "AccountProblem",
    }
)
_REFUSED = frozenset({"ResourceNotFoundException", "ResourceNotReadyException"})
# Certainly about the image. Any other code may be about everything; a probe tells.
_OF_THE_IMAGE = frozenset(
    {"ImageTooLargeException", "InvalidImageFormatException", "InvalidS3ObjectException"}
)
# Said of parameters and of pictures: only the same words mean the same fault.
_AMBIGUOUS = frozenset({"InvalidParameterException", "ValidationException"})
_THROTTLES = frozenset({error_codes.THROTTLING, error_codes.PROVISIONED_THROUGHPUT_EXCEEDED})
_ALSO_TRANSIENT = frozenset({"RequestTimeout", "RequestTimeoutException", "RequestExpired"})

# Nobody answered, or whoever gives the credentials did not: either may pass.
_NO_ANSWER = (
    HTTPClientError,
    BotoConnectionError,
    IncompleteReadError,
    CredentialRetrievalError,
    MetadataRetrievalError,
    ResponseParserError,
    OSError,
    TimeoutError,
)
# What botocore's parser and ours raise about a body that is no answer of AWS's, cut off or a proxy's page.
_NO_SENSE = (ValueError, TypeError, AttributeError, KeyError)


@dataclass(frozen=True)
class Answered:
    """AWS looked at the image, and bills it.

    :param body: the answer as it came, with members that botocore does not know yet.
    """

    body: dict[str, Any]


@dataclass(frozen=True)
class Refused:
    """AWS will not look at this image.

    :param code: as AWS spells it, which is how a bulk job's summary does.
    """

    code: str
    message: str


@dataclass(frozen=True)
class Disturbed:
    """No answer this time."""

    code: str
    message: str


@dataclass
class Counters:
    """What a run counts while it runs."""

    calls: int = 0
    answered: int = 0
    throttles: int = 0
    retries: int = 0


class Caller:
    """Calls DetectModerationLabels at the pacer's pace.

    :param client: an aiobotocore client for Rekognition that does not retry by itself.
    :param parameters: members all requests have in common.
    """

    def __init__(
        self,
        client: Any,
        parameters: dict[str, Any],
        *,
        pacer: Pacer,
        control: ShareControl,
        counters: Counters,
    ) -> None:
        self._client, self._parameters = client, parameters
        self._pacer, self._control, self._counters = pacer, control, counters
        self._probing = asyncio.Lock()
        self._probed: tuple[float, tuple[str, str]] | None = None
        client.meta.events.register("before-parse.rekognition.DetectModerationLabels", _keep_raw_body)

    async def ask(self, image: dict[str, Any]) -> Answered | Refused | Disturbed:
        """Make one call, when its turn has come.

        :param image: the request's ``Image``.
        :raises DetectDenied: no call of this caller can succeed.
        :raises DetectRequestRefused: no call with these parameters can.
        """
        try:
            answer = await self._call(image)
        except ClientError as error:
            return await self._judge(error)
        except ParamValidationError as error:
            return Refused("InvalidParameterException", str(error))
        except _NO_ANSWER as error:
            return Disturbed(CONNECTION_FAILED, f"{type(error).__name__}: {error}")
        except BotoCoreError as error:
            raise DetectDenied(f"no credentials or no endpoint for Rekognition: {error}") from error
        except _NO_SENSE as error:
            return Disturbed(error_codes.MALFORMED_RESULT, f"The answer cannot be read: {error!r}")
        if not isinstance(answer.get("ModerationLabels"), list):
            return Disturbed(error_codes.MALFORMED_RESULT, "The answer holds no ModerationLabels.")
        self._counters.answered += 1
        return Answered(answer)

    async def _call(self, image: dict[str, Any]) -> dict[str, Any]:
        await self._pacer.acquire()
        self._counters.calls += 1
        response = await self._client.detect_moderation_labels(Image=image, **self._parameters)
        self._control.passed()
        body = orjson.loads(response[_RAW])
        return body if isinstance(body, dict) else {}

    async def _judge(self, error: ClientError) -> Refused | Disturbed:
        code, message = _read(error)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        name = error_codes.canonical(code)
        if name in _THROTTLES or status == 429:
            self._counters.throttles += 1
            self._control.throttled()
            return Disturbed(code, message)
        self._control.passed()
        if code.isdigit():  # a bare status is a proxy's word, not AWS's
            return Disturbed(CONNECTION_FAILED, f"HTTP {code}: {message}")
        if _is_transient(code) or status >= 500:
            return Disturbed(code, message)
        if code in _DENIED:
            raise DetectDenied(f"{code}: {message}; check the credentials or the Airflow connection")
        if code in _REFUSED:
            raise DetectRequestRefused(f"{code}: {message}; check the adapter {self._adapter}")
        if code not in _OF_THE_IMAGE and not await self._is_about_the_image(code, message):
            return Disturbed(code, message)
        return Refused(code, message)

    async def _is_about_the_image(self, code: str, message: str) -> bool:
        """Whether a refusal is about one image; found out by asking about four bytes that are no image.

        The probe is never billed, for AWS bills images it has looked at. If the caller and the parameters are
        in order, the answer is InvalidImageFormatException.

        :returns: False when the probe got no clear answer.
        :raises DetectDenied, DetectRequestRefused: the refusal is about everything.
        """
        async with self._probing:
            if self._probed is None or time.monotonic() - self._probed[0] > _PROBE_MEMORY_SECONDS:
                found = await self._probe()
                if found is None:
                    return False
                self._probed = (time.monotonic(), found)
            found_code, found_message = self._probed[1]
        if code == found_code == "AccessDeniedException":
            raise DetectDenied(
                f"{message}; every call is denied: grant rekognition:DetectModerationLabels"
                + (f" on {self._adapter} too" if self._adapter else "")
            )
        if code == found_code and (code not in _AMBIGUOUS or message == found_message):
            raise DetectRequestRefused(
                f"{code}: {message}; every call is refused so: see to the account or to the parameters "
                f"{self._parameters}"
            )
        return True

    async def _probe(self) -> tuple[str, str] | None:
        try:
            await self._call({"Bytes": b"none"})
        except ClientError as error:
            code, message = _read(error)
            return None if _is_transient(code) or code.isdigit() else (code, message)
        except (BotoCoreError, *_NO_ANSWER, *_NO_SENSE):
            return None
        return "", ""

    @property
    def _adapter(self) -> str | None:
        return self._parameters.get("ProjectVersion")


def _is_transient(code: str) -> bool:
    """Whether another try may fare better."""
    return error_codes.is_transient(code) or code in _ALSO_TRANSIENT or code.isdigit()


def _read(error: ClientError) -> tuple[str, str]:
    answer = error.response.get("Error", {})
    return str(answer.get("Code", "Unknown")), str(answer.get("Message") or "no message")


def _keep_raw_body(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """botocore event ``before-parse``: hand the bytes through, for the parser drops what it does not know."""
    customized_response_dict[_RAW] = response_dict["body"]
