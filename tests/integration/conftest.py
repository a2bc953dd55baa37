"""Fixtures of the offline Rekognition on real processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from local_aws.rekognition import launch
from local_aws.rekognition.launch import Rekognition
from local_aws.rekognition.settings import ServerSettings
from local_aws.seaweedfs import Credentials, SeaweedFS
from support import rekognition_server as offline

StartRekognition = Callable[..., Rekognition]


@pytest.fixture(scope="session")
def rekognition_server(
    tmp_path_factory: pytest.TempPathFactory, s3_server: SeaweedFS, credentials: Credentials
) -> Iterator[Rekognition]:
    """One server without quotas for all tests that leave it as they found it."""
    folder = tmp_path_factory.mktemp("rekognition")
    settings = offline.quick()
    with launch.start(
        folder, credentials, s3_server.endpoint_url, settings=settings, python_path=[offline.TESTS]
    ) as server:
        yield server


@pytest.fixture
def rekognition(rekognition_server: Rekognition, credentials: Credentials) -> Iterator[Any]:
    """A boto3 client of the shared server; every answer is checked against its shape."""
    with offline.client(rekognition_server, credentials) as client:
        yield client


@pytest.fixture
def start_rekognition(
    tmp_path: Path, s3_server: SeaweedFS, credentials: Credentials
) -> Iterator[StartRekognition]:
    """Starts servers of one test's own; by default they share one state folder, as a restart does."""
    with ExitStack() as stack:

        def start(
            *,
            state: Path | None = None,
            settings: ServerSettings | None = None,
            keys: Any = None,
            s3_endpoint_url: str | None = None,
            **options: Any,
        ) -> Rekognition:
            server = launch.start(
                state or tmp_path / "rekognition",
                keys or credentials,
                s3_endpoint_url or s3_server.endpoint_url,
                settings=settings or offline.quick(),
                python_path=[offline.TESTS],
                **options,
            )
            return stack.enter_context(server)

        yield start
