"""Rekognition's service model as botocore ships it: the one source of shapes, constraints and error codes."""

from __future__ import annotations

from functools import cache
from typing import Any

from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel

SERVICE = "rekognition"
TARGET_PREFIX = "RekognitionService."
CONTENT_TYPE = "application/x-amz-json-1.1"


@cache
def _description() -> dict[str, Any]:
    """Read ``service-2.json`` from inside botocore.

    A model in ``~/.aws/models`` belongs to the user's client, not to the service, and is left alone.
    """
    loader = Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
    description: dict[str, Any] = loader.load_service_model(SERVICE, "service-2")
    return description


@cache
def service_model() -> ServiceModel:
    """Return botocore's model of Rekognition."""
    return ServiceModel(_description(), SERVICE)


def operation_model(name: str) -> OperationModel:
    """Return the model of one operation.

    :raises botocore.exceptions.OperationNotFoundError: the service has no such operation.
    """
    return service_model().operation_model(name)


@cache
def modelled_errors() -> dict[str, int]:
    """Return the HTTP status of each exception the service model knows (500 where it is marked a fault)."""
    shapes = _description()["shapes"].items()
    return {name: 500 if shape.get("fault") else 400 for name, shape in shapes if shape.get("exception")}
