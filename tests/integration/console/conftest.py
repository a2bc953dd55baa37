"""One published load for all tests of the console that only look."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from local_aws.seaweedfs import Credentials, SeaweedFS
from moderation.console.alone import alone
from moderation.console.application import WRITE_HEADER, application
from moderation.review.state.open import open_state
from moderation.settings import Settings
from moderation.storage import s3_objects
from support import browser
from support.console_load import TOKEN, asked, listening_at, publish_pictures, served
from support.console_review import by_header
from support.fake_rekognition import fake_rekognition  # noqa: F401 - a fixture
from support.planned_runs import make_settings


@pytest.fixture(scope="session")
def console_world(
    s3_server: SeaweedFS, credentials: Credentials, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Settings, str, Path]]:
    """Settings of a published load, its id, and a folder for caches."""
    folder = tmp_path_factory.mktemp("console")
    bucket = f"test-{uuid.uuid4().hex[:16]}"
    # Only while it is made: what is of the session lasts to its end, and the environment is every test's.
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            **in_environment(s3_server, credentials),
            "MODERATION_REVIEW_DB": str(folder / "review.db"),
        }.items():
            patch.setenv(name, value)
        s3 = boto3.session.Session().client(
            "s3", endpoint_url=s3_server.endpoint_url, config=Config(s3={"addressing_style": "path"})
        )
        s3.create_bucket(Bucket=bucket)
        settings = replace(make_settings(folder, bucket, tables="local"), input_uri=f"s3://{bucket}/input")
        load_id = publish_pictures(settings, s3, bucket)
    yield settings, load_id, folder
    s3.close()


def in_environment(server: SeaweedFS, credentials: Credentials) -> dict[str, str]:
    """What leads to the S3 server of the tests."""
    return {
        "AWS_ACCESS_KEY_ID": credentials.access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL_S3": server.endpoint_url,
    }


@pytest.fixture(scope="module", autouse=True)
def environment(
    s3_server: SeaweedFS, credentials: Credentials, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """The console reads its environment at each request, also of a browser that asks between two tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in in_environment(s3_server, credentials).items():
            patch.setenv(name, value)
        # Else the queues of a stack that somebody runs in this folder.
        patch.setenv("MODERATION_REVIEW_DB", str(tmp_path_factory.mktemp("review") / "review.db"))
        yield


@pytest.fixture
def load_id(console_world: tuple[Settings, str, Path]) -> str:
    return console_world[1]


@pytest.fixture
def console(console_world: tuple[Settings, str, Path], aws_env: Any) -> Iterator[Any]:
    """The console over that load, logged in."""
    settings, _, folder = console_world
    with served(settings, folder / "cache") as client:
        yield client


@pytest.fixture(autouse=True)
def no_mark_of_another_test(request: pytest.FixtureRequest, s3_client: Any) -> Iterator[None]:
    """Each test has verdicts of its own over one load that all share: what one published binds no other."""
    if "console_world" not in request.fixturenames:
        yield
        return
    settings, _, _ = request.getfixturevalue("console_world")
    mark = s3_objects.join_uri(settings.work_uri, "review", "verdicts.json")
    # Also before: the server of the file before this one leaves its mark when it ends.
    s3_objects.delete(s3_client, mark)
    yield
    s3_objects.delete(s3_client, mark)


@pytest.fixture
def reviewed(console_world: tuple[Settings, str, Path], aws_env: Any, tmp_path: Path) -> Iterator[Any]:
    """The console over that load with verdicts of its own; an operator asks unless said otherwise."""
    settings, _, folder = console_world
    aws_env.setenv("MODERATION_REVIEW_DB", str(tmp_path / "review.db"))
    app = application(lambda: settings, gate=by_header, cache=folder / "cache")
    with asked(app) as client:
        client.headers[WRITE_HEADER] = "1"
        yield client


@pytest.fixture(scope="module")
def address(console_world, environment) -> Iterator[str]:
    """Where a real server answers with the console."""
    settings, _, folder = console_world
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODERATION_REVIEW_DB", str(folder / "browser.db"))
        with listening_at(alone(settings, token=TOKEN, cache=folder / "browser")) as found:
            yield found


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.chromium() as found:
        yield found


@pytest.fixture
def page(chromium, address, request) -> Iterator[Any]:
    """A page that is logged in; an error in a script fails the test."""
    look = getattr(request, "param", {})
    context = browser.window(chromium, viewport={"width": 1280, "height": 800}, **look)
    made = context.new_page()
    errors: list[str] = []
    made.on("pageerror", lambda error: errors.append(str(error)))
    made.goto(f"{address}/?token={TOKEN}")
    yield made
    context.close()
    assert not errors


@pytest.fixture
def review_log(console_world: tuple[Settings, str, Path]) -> Iterator[Any]:
    """Reads the log of verdicts that the browser's console writes."""
    state = open_state(str(console_world[2] / "browser.db"))
    yield lambda: state.log
    state.close()
