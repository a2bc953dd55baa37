"""AWS's Security Token Service, as far as a role needs it: AssumeRole and GetCallerIdentity.

Query protocol: a form in the body, XML in the answer. Source of names, texts and codes: STS API reference,
"AssumeRole" and "Common errors".
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from local_aws.rekognition.service import Service
from local_aws.rekognition.wire import auth
from local_aws.rekognition.wire.errors import ApiError
from local_aws.rekognition.wire.intake import Intake

SERVICE: Final = "sts"
CONTENT_TYPE: Final = "text/xml"

_log = logging.getLogger(__name__)
_NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
_PASSED_ON = ("RoleArn", "RoleSessionName", "Policy")
_WITHOUT_EFFECT = ("ExternalId", "SourceIdentity", "Tags.", "TransitiveTagKeys.")
"""No trust policy here asks for any of them."""
_QUERY_CODES: Final[Mapping[str, str]] = {
    "ExpiredTokenException": "ExpiredToken",
    "IncompleteSignatureException": "IncompleteSignature",
    "InvalidSignatureException": "SignatureDoesNotMatch",
    "MissingAuthenticationTokenException": "MissingAuthenticationToken",
    "UnrecognizedClientException": "InvalidClientTokenId",
}
"""What services of the query protocol call what the JSON services call otherwise."""
_OF_S3: Final[Mapping[str, str]] = {
    "MalformedPolicyDocument": "MalformedPolicyDocument",
    "PackedPolicyTooLarge": "PackedPolicyTooLarge",
    "ServiceFailure": "ServiceUnavailable",
}
"""Codes of the S3 server that AWS has too; whatever else it refuses is a member that AWS would not take."""
_BAD_REQUESTS = {
    "ValidationError",
    "InvalidAction",
    "IncompleteSignature",
    "MalformedPolicyDocument",
    "PackedPolicyTooLarge",
    "RequestEntityTooLargeException",
}


class StsEndpoint:
    """AssumeRole and GetCallerIdentity for the keys of a service."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def answer(self, head: auth.RequestHead, intake: Intake, request_id: str) -> tuple[int, bytes]:
        """Return status and body of the answer to one request.

        :raises ClientDisconnect: the client has gone.
        """
        try:
            name, members = await self._perform(head, intake)
        except ApiError as error:
            return _refusal(error, request_id)
        inner = _xml({f"{name}Result": members, "ResponseMetadata": {"RequestId": request_id}})
        return 200, f'<{name}Response xmlns="{_NAMESPACE}">{inner}</{name}Response>'.encode()

    async def _perform(self, head: auth.RequestHead, intake: Intake) -> tuple[str, dict[str, Any]]:
        skew = timedelta(seconds=self._service.settings.clock_skew_seconds)
        claim = auth.read_claim(
            head, self._service.keys, now=datetime.now(UTC), allowed_skew=skew, service=SERVICE
        )
        with await intake.take() as body:
            identity = claim.prove(body_sha256=body.sha256)
            asked = dict(parse_qsl(body.read().decode("utf-8", "replace"), keep_blank_values=True))
        name = asked.pop("Action", "")
        asked.pop("Version", None)
        actions: dict[str, Callable[[auth.Identity, dict[str, str]], dict[str, Any]]] = {
            "AssumeRole": self._assume_role,
            "GetCallerIdentity": self._caller_identity,
        }
        if name not in actions:
            raise ApiError("InvalidAction", f"Could not find operation {name} for version 2011-06-15")
        loop = asyncio.get_running_loop()
        return name, await loop.run_in_executor(self._service.control, actions[name], identity, asked)

    def _caller_identity(self, identity: auth.Identity, asked: dict[str, str]) -> dict[str, Any]:
        account = self._service.settings.account_id
        arn = auth.user_arn(identity, account_id=account)
        return {"Arn": arn, "UserId": identity.access_key, "Account": account}

    def _assume_role(self, identity: auth.Identity, asked: dict[str, str]) -> dict[str, Any]:
        unknown = [
            name for name in asked
            if name not in {*_PASSED_ON, "DurationSeconds"} and not name.startswith(_WITHOUT_EFFECT)
        ]  # fmt: skip
        if unknown:
            raise ApiError("ValidationError", f"The offline endpoint has no {unknown[0]} of AssumeRole.")
        wanted: dict[str, Any] = {name: asked[name] for name in _PASSED_ON if name in asked}
        if "DurationSeconds" in asked:
            seconds = asked["DurationSeconds"]
            wanted["DurationSeconds"] = int(seconds) if seconds.isdecimal() else seconds
        try:
            made = self._service.keys.assume(identity.access_key, wanted)
        except ParamValidationError as error:
            raise ApiError("ValidationError", str(error)) from error
        except ClientError as error:
            raise self._refused(error, identity, wanted["RoleArn"]) from error
        except BotoCoreError as error:
            raise ApiError("ServiceUnavailable", "S3, which makes the sessions, does not answer.") from error
        ends = made["Credentials"]["Expiration"].astimezone(UTC)
        return {
            "AssumedRoleUser": {
                "AssumedRoleId": made["AssumedRoleUser"]["AssumedRoleId"],
                "Arn": made["AssumedRoleUser"]["Arn"],
            },
            "Credentials": {**made["Credentials"], "Expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ")},
        }

    def _refused(self, error: ClientError, identity: auth.Identity, role_arn: str) -> ApiError:
        told = error.response.get("Error", {})
        if told.get("Code") != "AccessDenied":
            return ApiError(_OF_S3.get(told.get("Code", ""), "ValidationError"), str(told.get("Message")))
        who = auth.user_arn(identity, account_id=self._service.settings.account_id)
        text = f"User: {who} is not authorized to perform: sts:AssumeRole on resource: {role_arn}"
        return ApiError("AccessDenied", text)


def _refusal(error: ApiError, request_id: str) -> tuple[int, bytes]:
    code = _QUERY_CODES.get(error.code, error.code)
    _log.info("request %s to STS was refused: %s", request_id, error)
    status = 503 if code == "ServiceUnavailable" else 400 if code in _BAD_REQUESTS else 403
    kind = "Receiver" if status == 503 else "Sender"
    told = {"Error": {"Type": kind, "Code": code, "Message": error.message}, "RequestId": request_id}
    return status, f'<ErrorResponse xmlns="{_NAMESPACE}">{_xml(told)}</ErrorResponse>'.encode()


def _xml(members: Mapping[str, Any]) -> str:
    return "".join(
        f"<{name}>{_xml(value) if isinstance(value, Mapping) else escape(str(value))}</{name}>"
        for name, value in members.items()
    )
