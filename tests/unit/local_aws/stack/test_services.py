from __future__ import annotations

import sys

import pytest

from local_aws import ports, process
from local_aws.stack.layout import Layout, StackError
from local_aws.stack.registry import KEPT
from local_aws.stack.services import Stack
from support import demo


@pytest.fixture
def stack(tmp_path):
    return Stack(Layout(tmp_path), owner=KEPT, environ={"REKOGNITION_PORT": str(ports.find_free())})


@pytest.fixture
def start(stack):
    """Registers a process under a service's name."""
    started = []

    def begin(name, facts):
        code = "import signal; signal.pause()"
        service = process.start(name, [sys.executable, "-c", code], log_path=stack.layout.logs / name)
        started.append(service)
        stack.registry.add(name, service.pid, owner=KEPT, facts=facts)
        return service

    yield begin
    for service in started:
        service.stop(grace=0.2)


def test_a_service_that_died_comes_back_where_those_that_run_look_for_it(stack, start):
    old = ports.find_free()
    start("scheduler", {"port": 1})
    start("rekognition", {"endpoint": f"http://127.0.0.1:{old}"}).stop(grace=0.2)
    start("triggerer", {"port": 1})

    assert stack._port("REKOGNITION_PORT", part="rekognition") == old


def test_when_all_have_died_ports_are_chosen_anew(stack, start):
    start("rekognition", {"endpoint": f"http://127.0.0.1:{ports.find_free()}"}).stop(grace=0.2)

    assert stack._port("REKOGNITION_PORT", part="rekognition") == int(stack._environ["REKOGNITION_PORT"])


def test_who_runs_airflow_for_other_people_is_told_to_start_it_anew_and_theirs_keep_their_logins(
    tmp_path, stack, start
):
    start("api-server", {"port": 1, "users": "anna:user"})
    stack.aws_environment = lambda: {}
    assert stack.airflow_environment(1)["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] == "admin:admin,anna:user"

    other = Stack(stack.layout, owner=KEPT, environ={"MODERATION_USERS": "ben:viewer"})
    with pytest.raises(
        StackError, match=r"knows admin, anna; .*make down && MODERATION_USERS=ben:viewer make up"
    ):
        other.start_airflow()
    same = Stack(stack.layout, owner=KEPT, environ={"MODERATION_USERS": " anna:user, "})
    assert same._people() == "anna:user"


@pytest.mark.parametrize("named", [None, "s3://archive/nightly/"])
def test_the_form_of_a_kept_stack_begins_with_images_that_are_there_or_with_what_was_named(tmp_path, named):
    layout = Layout(tmp_path)
    environ = {"MODERATION_SOURCE": named} if named else {}
    stack = Stack(layout, owner=KEPT, environ=environ)
    stack.aws_environment = lambda: {}  # of services that run

    source = stack.airflow_environment(8080)["MODERATION_SOURCE"]

    assert source == (named or str(layout.demo_images))
    in_repository = demo.FOLDER.relative_to(demo.FOLDER.parents[2])
    assert layout.demo_images == tmp_path / in_repository
