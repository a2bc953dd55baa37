"""The errors a client sees, and those that end a job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

S3_OBJECT_MESSAGE: Final = (
    "Unable to get object metadata from S3. Check object key, region and/or access permissions."
)
"""For a missing object, a forbidden one and one of another region alike."""

MESSAGES: Final[Mapping[str, str]] = {
    "ImageTooLargeException": "Image size is too large.",
    "InternalServerError": "Internal server error",
    "InvalidImageFormatException": "Request has invalid image format.",
    "InvalidPaginationTokenException": "Invalid Pagination Token",
    "InvalidParameterException": "Request has invalid parameters.",
    "InvalidS3ObjectException": "Request has invalid S3 object.",
    "ProvisionedThroughputExceededException": "Provisioned Rate exceeded.",
    "ResourceInUseException": "Specified resource is in use.",
    "ThrottlingException": "Slow down; sudden increase in rate of requests.",
}
"""The texts of Rekognition's exceptions, word for word (developer guide, "Error handling"). They say little;
what was wrong with this very request goes into the server's log, beside the request's id."""

SERVICE_UNAVAILABLE: Final = "Service Unavailable"
"""The text of the ThrottlingException that comes with HTTP 500 (developer guide, "Error handling")."""


class ApiError(Exception):
    """An answer other than success.

    :param code: the AWS exception name, for example ``InvalidS3ObjectException``.
    :param message: text for people; must not hold a secret. AWS's own for the code when None.
    :param reason: what AWS's text leaves unsaid; for the log, never for the client.
    :param status: HTTP status where the code alone does not say it: ThrottlingException is a 400 or a 500.
    """

    def __init__(
        self, code: str, message: str | None = None, *, reason: str = "", status: int | None = None
    ) -> None:
        self.code = code
        self.message = MESSAGES[code] if message is None else message
        self.reason = reason
        self.status = status
        super().__init__(f"{code}: {self.message}" + (f" ({reason})" if reason else ""))


class JobFailed(Exception):
    """Ends a media analysis job with a failure.

    :param code: one of AWS's ``MediaAnalysisJobFailureCode`` values.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Stopping(Exception):
    """The server shuts down; work in hand is left at its last checkpoint."""


def access_denied(*, user_arn: str, operation: str, resource: str = "*") -> ApiError:
    """Refuse an operation to a user (text: developer guide, "Error handling").

    :param operation: API operation, without the service's prefix.
    :param resource: ARN, or ``*`` where the operation is about none.
    """
    text = f"User: {user_arn} is not authorized to perform: rekognition:{operation} on resource: {resource}"
    return ApiError("AccessDeniedException", text)


def too_many_open_jobs(*, user_arn: str, open_jobs: int, limit: int) -> ApiError:
    """Refuse one more job (text: developer guide, "Error handling")."""
    text = f"{open_jobs} open Jobs for User {user_arn} Maximum limit: {limit}"
    return ApiError("LimitExceededException", text)


def token_in_use(*, token: str) -> ApiError:
    """Refuse a known token with another request (text: developer guide, "Error handling")."""
    text = f"The ClientRequestToken: {token} you have supplied is already in use."
    return ApiError("IdempotentParameterMismatchException", text)
