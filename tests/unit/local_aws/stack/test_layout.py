from __future__ import annotations

import socket
import stat

import pytest

from local_aws import ports
from local_aws.stack.layout import Secrets, StackError, choose_port
from moderation.variables.local_stack import DEFAULT_PORTS


@pytest.fixture
def taken_port():
    with socket.create_server(("127.0.0.1", ports.find_free())) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("variable", DEFAULT_PORTS)
def test_a_taken_port_is_named_with_the_variable_to_change(variable, taken_port):
    with pytest.raises(StackError, match=rf"port {taken_port}.*taken.*{variable}=\d+") as error:
        choose_port(variable, {variable: str(taken_port)})

    assert "\n" not in str(error.value)


@pytest.mark.parametrize("variable", DEFAULT_PORTS)
def test_a_port_that_was_asked_for_never_moves(variable, taken_port):
    with pytest.raises(StackError):
        choose_port(variable, {variable: str(taken_port)}, may_move=True)


def test_a_taken_default_moves_to_a_free_port_when_it_may(monkeypatch, taken_port):
    monkeypatch.setitem(DEFAULT_PORTS, "AIRFLOW_PORT", taken_port)

    assert choose_port("AIRFLOW_PORT", {}, may_move=True) != taken_port


@pytest.mark.parametrize("value", ["abc", "80", "70000", "-1", "8080.5"])
def test_a_value_that_is_no_usable_port_is_refused_with_the_range(value):
    with pytest.raises(StackError, match=r"S3_PORT.*1024 to 55535"):
        choose_port("S3_PORT", {"S3_PORT": value})


def test_a_companion_port_that_is_taken_is_named_too(taken_port):
    with pytest.raises(StackError, match=f"port {taken_port}"):
        choose_port("S3_PORT", {"S3_PORT": str(taken_port - 1000)}, companion_offset=1000)


def test_secrets_are_made_once_and_only_the_owner_can_read_them(tmp_path):
    path = tmp_path / "var" / "secrets.json"

    first = Secrets.load(path)

    assert Secrets.load(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_two_checkouts_never_share_a_secret(tmp_path):
    first, second = Secrets.load(tmp_path / "a.json"), Secrets.load(tmp_path / "b.json")

    assert first.s3 != second.s3
    assert first.airflow_password != second.airflow_password
    assert first.jwt_secret != second.jwt_secret


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"s3_access_key": 1'])
def test_damaged_secrets_are_reported_with_the_file(tmp_path, content):
    path = tmp_path / "secrets.json"
    path.write_text(content)

    with pytest.raises(StackError, match=r"secrets\.json is damaged"):
        Secrets.load(path)
