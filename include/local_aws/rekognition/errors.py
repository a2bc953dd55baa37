"""The errors a client sees, and those that end a job."""

from __future__ import annotations


class ApiError(Exception):
    """An answer other than success.

    :param code: the AWS exception name, for example ``InvalidS3ObjectException``.
    :param message: text for people; must not hold a secret.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


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


S3_OBJECT_MESSAGE = (
    "Unable to get object metadata from S3. Check object key, region and/or access permissions."
)
"""AWS's own text (developer guide, "Error handling"), for a missing object and a forbidden one alike."""
