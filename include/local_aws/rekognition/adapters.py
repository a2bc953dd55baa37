"""Custom Moderation adapters, as far as analysis needs to know them."""

from __future__ import annotations

from local_aws.rekognition.auth import Identity
from local_aws.rekognition.errors import ApiError


def require_usable(project_version: str, identity: Identity, account_id: str) -> None:
    """Check that an adapter version can be used in a request.

    :param project_version: its ARN, in the form the service model demands.
    :raises ApiError: InvalidParameterException for an ARN of another account or region,
        ResourceNotFoundException when there is no such adapter. This endpoint trains none, so there is none.
    """
    _, _, _, region, account, _ = project_version.split(":", 5)
    if region != identity.region or account != account_id:
        raise ApiError(
            "InvalidParameterException",
            f"The project version belongs to account {account} in {region}; "
            f"requests here are for account {account_id} in {identity.region}.",
        )
    raise ApiError("ResourceNotFoundException", f"The resource {project_version} was not found.")
