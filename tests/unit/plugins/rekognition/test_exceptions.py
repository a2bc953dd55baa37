from __future__ import annotations

import pickle
from typing import Any

import botocore.session
import pytest
from airflow.sdk.exceptions import AirflowFailException
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError, ReadTimeoutError

from rekognition import exceptions
from rekognition.exceptions import RekognitionError

MODEL = botocore.session.get_session().get_service_model("rekognition")
OPERATIONS = (
    "StartMediaAnalysisJob",
    "GetMediaAnalysisJob",
    "ListMediaAnalysisJobs",
    "CreateProject",
    "DescribeProjects",
    "DeleteProject",
    "CreateProjectVersion",
    "DescribeProjectVersions",
    "DeleteProjectVersion",
)
ERRORS = sorted({shape.name for name in OPERATIONS for shape in MODEL.operation_model(name).error_shapes})
FAILURE_CODES = MODEL.shape_for("MediaAnalysisJobFailureCode").enum
CLASSES = sorted(exceptions._family(exceptions.RekognitionError), key=lambda cls: cls.__name__)


def client_error(code: str, status: int = 400) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": "why"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(response, "StartMediaAnalysisJob")


@pytest.mark.parametrize("code", ERRORS)
def test_each_error_of_the_service_model_has_been_thought_of(code: str) -> None:
    assert code in exceptions._CLASS_OF_ERROR_CODE


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (client_error("AccessDeniedException"), exceptions.RekognitionAccessDenied),
        (client_error("InvalidManifestException"), exceptions.RekognitionRequestInvalid),
        (client_error("LimitExceededException"), exceptions.RekognitionJobLimitReached),
        (client_error("ThrottlingException", 400), exceptions.RekognitionThrottled),
        (client_error("ThrottlingException", 500), exceptions.RekognitionThrottled),
        (client_error("ValidationException"), exceptions.RekognitionRequestInvalid),
        (client_error("SerializationException"), exceptions.RekognitionRequestInvalid),
        (client_error("UnknownOperationException"), exceptions.RekognitionRequestInvalid),
        (client_error("RequestEntityTooLargeException", 413), exceptions.RekognitionRequestInvalid),
        (client_error("IncompleteSignatureException"), exceptions.RekognitionAccessDenied),
        (client_error("RequestTimeoutException", 408), exceptions.RekognitionUnavailable),
        (client_error("InternalServerError", 500), exceptions.RekognitionUnavailable),
        (client_error("NewThing", 503), exceptions.RekognitionUnavailable),
        (client_error("TooManyRequestsException"), exceptions.RekognitionUnavailable),
        (client_error("ExpiredTokenException"), RekognitionError),
        (NoCredentialsError(), exceptions.RekognitionAccessDenied),
        (EndpointConnectionError(endpoint_url="http://x"), exceptions.RekognitionUnavailable),
        (ReadTimeoutError(endpoint_url="http://x"), exceptions.RekognitionUnavailable),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_an_error_of_boto_gets_a_name(error: Exception, expected: type[RekognitionError]) -> None:
    assert type(exceptions.from_botocore(error)) is expected  # type: ignore[arg-type]


def test_not_found_means_the_job_only_where_a_job_was_asked_for() -> None:
    error = client_error("ResourceNotFoundException")
    assert type(exceptions.from_botocore(error)) is exceptions.RekognitionRequestInvalid
    about_job = exceptions.from_botocore(error, job_id="j1")
    assert type(about_job) is exceptions.RekognitionMediaAnalysisJobNotFound


@pytest.mark.parametrize("code", [*FAILURE_CODES, "A_CODE_OF_TOMORROW"])
def test_a_failed_job_names_its_code_message_and_id(code: str) -> None:
    error = exceptions.from_failed_job({"JobId": "j1", "FailureDetails": {"Code": code, "Message": "why"}})
    assert (error.code, error.message, error.job_id) == (code, "why", "j1")
    assert all(part in str(error) for part in (code, "why", "j1"))
    retryable = {"INTERNAL_ERROR", "THROTTLED", "RESOURCE_NOT_READY", "A_CODE_OF_TOMORROW"}
    assert isinstance(error, AirflowFailException) is (code not in retryable)


def test_a_failed_job_without_details_is_still_a_failed_job() -> None:
    error = exceptions.from_failed_job({"JobId": "j1"})
    assert "UNKNOWN" in str(error)


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_survives_the_way_through_a_trigger_event(cls: type[RekognitionError]) -> None:
    error = cls("why", code="CODE", job_id="j1")
    back = exceptions.from_event(exceptions.to_event(error))
    assert type(back) is cls
    assert str(back) == str(error)


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_survives_pickling_and_airflow_serialization(cls: type[RekognitionError]) -> None:
    error = cls("why", code="CODE", job_id="j1")
    path, args, kwargs = error.serialize()
    for back in (pickle.loads(pickle.dumps(error)), cls(*args, **kwargs)):
        assert (type(back), str(back)) == (cls, str(error))
    assert path == f"rekognition.exceptions.{cls.__name__}"
