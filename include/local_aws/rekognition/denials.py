"""What the account may not do: operations that are denied, each with AWS's words for the reason.

Unlike a fault, a denial is no mishap: it holds for every call until it is taken back. What an account that is
closed out of bulk jobs is answered AWS has not published; the words here are those of the notice on
availability, in the exception that the operations document.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local_aws.rekognition.wire.errors import ApiError, access_denied
from local_aws.rekognition.wire.model import service_model

REASONS = {
    "policy": "because no identity-based policy allows the rekognition:{operation} action",
    "explicit": "with an explicit deny in an identity-based policy",
    "organization": "with an explicit deny in a service control policy",
    "closed": "Streaming Video and Bulk Image Analysis is no longer available to new customers.",
}
"""Why, by name: how AWS ends its sentence (IAM user guide, "Troubleshoot access denied error messages"). The
last stands alone: botocore's model has it on StartMediaAnalysisJob."""


def read_denials(given: Mapping[str, Any]) -> dict[str, str]:
    """Read denials from a mapping of operation to reason.

    :raises ValueError: there is no such operation or reason.
    """
    for operation, reason in given.items():
        if operation not in service_model().operation_names:
            raise ValueError(f"denied: there is no operation {operation!r}")
        if reason not in REASONS:
            raise ValueError(f"denied: {operation} cannot be {reason!r}; there is {', '.join(REASONS)}")
    return dict(given)


class DenialBook:
    """The denials in force.

    :raises ValueError: as :func:`read_denials`.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._reasons = read_denials(given)

    def replace(self, given: Mapping[str, Any]) -> None:
        """Put others in force.

        :raises ValueError: as :func:`read_denials`; those before stay.
        """
        self._reasons = read_denials(given)

    def describe(self) -> dict[str, str]:
        """The reason by operation."""
        return dict(self._reasons)

    def check(self, operation: str, *, user_arn: str) -> None:
        """Let an operation pass, or not.

        :raises ApiError: AccessDeniedException.
        """
        reason = self._reasons.get(operation)
        if reason == "closed":
            raise ApiError("AccessDeniedException", REASONS[reason])
        if reason is not None:
            because = REASONS[reason].format(operation=operation)
            denied = access_denied(user_arn=user_arn, operation=operation)
            raise ApiError(denied.code, f"{denied.message} {because}")
