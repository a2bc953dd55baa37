"""One exception class for each thing a Dag author may want to react to, and what makes each.

Two kinds tell what a retry is worth: `Permanent` and `Passing`. The retry policy knows these alone. A class
of neither keeps the task's own ``retries`` and ``retry_delay``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, ClassVar

from airflow.providers.amazon.aws.utils.waiter_with_logging import RETRIABLE_ERROR_CODES
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError
from botocore.exceptions import ConnectionError as BotoConnectionError


class Permanent(AirflowException):
    """A retry would end in the same way."""

    why: ClassVar[str] = "AWS will refuse this request again; change it first"


class Passing(AirflowException):
    """A retry may end well, after a while."""

    why: ClassVar[str] = "Rekognition is busy"
    retry_delay: ClassVar[timedelta] = timedelta(minutes=2)


class RekognitionArgumentError(AirflowFailException, Permanent, ValueError):
    """An argument breaks a constraint of AWS's service model; nothing was sent."""


class RekognitionError(AirflowException):
    """
    Rekognition refused a call, or a media analysis job or a training did not end well.

    :param message: what AWS said.
    :param code: AWS's error code (of the call) or failure code (of the job).
    :param job_id: the media analysis job, or the adapter version, concerned, if one is known.
    """

    def __init__(self, message: str, *, code: str | None = None, job_id: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.job_id = job_id

    def __str__(self) -> str:
        subject = f"Media analysis job {self.job_id}: " if self.job_id else ""
        return f"{subject}{self.code}: {self.message}" if self.code else f"{subject}{self.message}"

    def serialize(self) -> tuple[str, tuple[str], dict[str, Any]]:
        """Describe the exception so that Airflow can build it again in another process."""
        cls = type(self)
        kwargs = {"code": self.code, "job_id": self.job_id}
        return f"{cls.__module__}.{cls.__qualname__}", (self.message,), kwargs

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.code, self.job_id)


class RekognitionAccessDenied(RekognitionError, Permanent):
    """The caller may not do this: IAM, credentials, or an account that is not eligible for bulk jobs."""

    why = "not permitted: check IAM, the connection, and whether the account may run bulk jobs"


class RekognitionRequestInvalid(RekognitionError, Permanent):
    """AWS will answer the same request in the same way for ever."""


class RekognitionThrottled(RekognitionError, Passing):
    """Too many calls in a second."""


class RekognitionJobLimitReached(RekognitionError, Passing):
    """Too many open jobs or trainings in this account and region; a slot frees when one ends."""

    why = "too many open jobs or trainings in this account and region"
    retry_delay = timedelta(minutes=10)


class RekognitionUnavailable(RekognitionError, Passing):
    """The service or the way to it is disturbed; whether the call took effect is unknown."""


class RekognitionMediaAnalysisJobFailed(RekognitionError):
    """The job ended as FAILED; ``code`` and ``message`` are its ``FailureDetails``."""

    def __str__(self) -> str:
        return f"Media analysis job {self.job_id} failed with {self.code}: {self.message}"


class RekognitionMediaAnalysisJobFailedPermanently(
    RekognitionMediaAnalysisJobFailed, AirflowFailException, Permanent
):
    """The job failed for a reason that a retry cannot change, so the task fails without one."""


class RekognitionMediaAnalysisJobTimeout(RekognitionError):
    """The job did not end within the time given. It goes on; a retry reconnects to it."""


class RekognitionMediaAnalysisJobNotFound(RekognitionError):
    """This account and region know no such job."""

    def __str__(self) -> str:
        return (
            f"Media analysis job {self.job_id} is unknown ({self.code}: {self.message}). Check the account "
            "and region of the connection. AWS forgets a job after one year; force_new_job starts another"
        )


class _OfAVersion(RekognitionError):
    """``job_id`` is the ARN, or the name, of an adapter version."""

    def __str__(self) -> str:
        return f"Adapter version {self.job_id}: {self.message}"


class RekognitionTrainingFailed(_OfAVersion, AirflowFailException, Permanent):
    """The version did not become usable; ``code`` is its status and ``message`` its ``StatusMessage``."""

    why = "the training ended; clearing the task trains anew, once the cause is mended"

    def __str__(self) -> str:
        return f"Adapter version {self.job_id} is {self.code}: {self.message}"


class RekognitionTrainingTimeout(_OfAVersion):
    """The training did not end within the time given. It goes on; a retry reconnects to it."""


class RekognitionVersionNotFound(_OfAVersion):
    """The project has no such version."""


class RekognitionNameTaken(RekognitionError, AirflowFailException, Permanent):
    """A project or version of this name exists, and it is not the one asked for."""

    why = "the name is taken: give another one"


class RekognitionResourceInUse(RekognitionError):
    """The name exists already, or the resource cannot be deleted in its state."""


# FailureDetails.Code of a FAILED job [service-2.json, MediaAnalysisJobFailureCode]. RESOURCE_NOT_READY is
# an adapter that may be ready later; a code AWS adds tomorrow is retried, because retries are bounded.
PERMANENT_FAILURE_CODES = frozenset(
    {
        "INVALID_S3_OBJECT",
        "INVALID_MANIFEST",
        "INVALID_OUTPUT_CONFIG",
        "INVALID_KMS_KEY",
        "ACCESS_DENIED",
        "RESOURCE_NOT_FOUND",
    }
)

# Error codes of the operations on jobs, projects and versions [service-2.json], of S3, STS and AWS
# authentication, and those all of AWS's services share ("Common errors" of the API reference).
_CLASS_OF_ERROR_CODE: dict[str, type[RekognitionError]] = {
    "AccessDeniedException": RekognitionAccessDenied,
    "AccessDenied": RekognitionAccessDenied,
    "UnrecognizedClientException": RekognitionAccessDenied,
    "InvalidSignatureException": RekognitionAccessDenied,
    "MissingAuthenticationTokenException": RekognitionAccessDenied,
    "IncompleteSignatureException": RekognitionAccessDenied,
    "IdempotentParameterMismatchException": RekognitionRequestInvalid,
    "InvalidManifestException": RekognitionRequestInvalid,
    "InvalidPaginationTokenException": RekognitionRequestInvalid,
    "InvalidParameterException": RekognitionRequestInvalid,
    "InvalidS3ObjectException": RekognitionRequestInvalid,
    "ResourceNotFoundException": RekognitionRequestInvalid,
    "ValidationException": RekognitionRequestInvalid,
    "SerializationException": RekognitionRequestInvalid,
    "RequestEntityTooLargeException": RekognitionRequestInvalid,
    "MalformedHttpRequestException": RekognitionRequestInvalid,
    "UnknownOperationException": RekognitionRequestInvalid,
    "LimitExceededException": RekognitionJobLimitReached,
    "ProvisionedThroughputExceededException": RekognitionThrottled,
    "ThrottlingException": RekognitionThrottled,
    "InternalServerError": RekognitionUnavailable,
    "RequestTimeoutException": RekognitionUnavailable,
    "ResourceNotReadyException": RekognitionError,
    "ResourceInUseException": RekognitionResourceInUse,
    "ServiceQuotaExceededException": RekognitionRequestInvalid,
}


def from_error_response(response: Mapping[str, Any], *, job_id: str | None = None) -> RekognitionError:
    """
    Name the error in an error response of botocore (``ClientError.response``, ``WaiterError.last_response``).

    :param response: holds ``Error`` {``Code``, ``Message``} and ``ResponseMetadata``.
    :param job_id: the job the call was about; then ResourceNotFoundException means that job.
    """
    error = response.get("Error", {})
    code = str(error.get("Code", "Unknown"))
    message = str(error.get("Message") or "no message")
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if job_id and code == "ResourceNotFoundException":
        return RekognitionMediaAnalysisJobNotFound(message, code=code, job_id=job_id)
    if known := _CLASS_OF_ERROR_CODE.get(code):
        return known(message, code=code, job_id=job_id)
    if code in RETRIABLE_ERROR_CODES or status >= 500:
        return RekognitionUnavailable(message, code=code, job_id=job_id)
    return RekognitionError(message, code=code, job_id=job_id)


def from_botocore(error: BotoCoreError | ClientError, *, job_id: str | None = None) -> RekognitionError:
    """Name any error a boto client raised, whether AWS answered or not."""
    if isinstance(error, ClientError):
        return from_error_response(error.response, job_id=job_id)
    code = type(error).__name__
    if isinstance(error, NoCredentialsError):
        return RekognitionAccessDenied(str(error), code=code, job_id=job_id)
    if isinstance(error, HTTPClientError | BotoConnectionError):
        return RekognitionUnavailable(str(error), code=code, job_id=job_id)
    return RekognitionError(str(error), code=code, job_id=job_id)


def from_failed_job(job: Mapping[str, Any]) -> RekognitionMediaAnalysisJobFailed:
    """Turn the GetMediaAnalysisJob answer of a FAILED job into the exception its task raises."""
    details = job.get("FailureDetails") or {}
    code = str(details.get("Code") or "UNKNOWN")
    cls = (
        RekognitionMediaAnalysisJobFailedPermanently
        if code in PERMANENT_FAILURE_CODES
        else RekognitionMediaAnalysisJobFailed
    )
    return cls(str(details.get("Message") or "no message"), code=code, job_id=job.get("JobId"))


def from_failed_version(version: Mapping[str, Any]) -> RekognitionTrainingFailed:
    """Turn the description of a version that is not usable into the exception its task raises."""
    return RekognitionTrainingFailed(
        str(version.get("StatusMessage") or "AWS gives no reason"),
        code=str(version.get("Status")),
        job_id=version.get("ProjectVersionArn"),
    )


def to_event(error: RekognitionError) -> dict[str, Any]:
    """Pack ``error`` into the payload of a trigger event."""
    return {
        "status": "error",
        "error": type(error).__name__,
        "message": error.message,
        "code": error.code,
        "job_id": error.job_id,
    }


def from_event(event: Mapping[str, Any]) -> RekognitionError:
    """Unpack what `to_event` packed."""
    named = str(event.get("error"))
    cls = next((cls for cls in _family(RekognitionError) if cls.__name__ == named), RekognitionError)
    return cls(str(event.get("message") or event), code=event.get("code"), job_id=event.get("job_id"))


def _rebuild(
    cls: type[RekognitionError], message: str, code: str | None, job_id: str | None
) -> RekognitionError:
    return cls(message, code=code, job_id=job_id)


def _family(cls: type[RekognitionError]) -> Iterator[type[RekognitionError]]:
    yield cls
    for child in cls.__subclasses__():
        yield from _family(child)
