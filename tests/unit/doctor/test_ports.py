from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterator

import pytest

from local_aws import ports as free_ports
from moderation.doctor.finding import Level
from moderation.doctor.ports import ports
from moderation.variables import local_stack


@pytest.fixture
def listener() -> Iterator[int]:
    """A port on which this process listens, 10,000 above another that could be chosen."""
    port = free_ports.find_free(companion_offset=10_000) + 10_000
    with socket.create_server(("127.0.0.1", port)) as server:
        yield server.getsockname()[1]


def by_variable(found):
    return dict(zip(local_stack.DEFAULT_PORTS, found, strict=True))


def test_free_ports_are_told_as_free(told):
    assert [finding.level for finding in told(ports)] == [Level.OK] * 3


def test_a_taken_port_is_told_with_who_has_it_and_one_that_is_free(told, listener):
    finding = by_variable(told(ports, AIRFLOW_PORT=str(listener)))["AIRFLOW_PORT"]
    assert finding.level is Level.STOP
    assert f"process {os.getpid()}" in finding.found
    other = int(re.search(r"AIRFLOW_PORT=(\d+) make up", finding.remedy)[1])
    assert free_ports.is_free(other)


def test_the_second_port_of_s3_is_looked_at_too(told, listener):
    finding = by_variable(told(ports, S3_PORT=str(listener - 10_000)))["S3_PORT"]
    assert (finding.level, str(listener) in finding.found) == (Level.STOP, True)


def test_a_taken_default_is_no_stop_since_make_run_takes_another(told, listener, monkeypatch):
    monkeypatch.setitem(local_stack.DEFAULT_PORTS, "AIRFLOW_PORT", listener)
    finding = by_variable(told(ports, AIRFLOW_PORT=""))["AIRFLOW_PORT"]
    assert finding.level is Level.WARNING


def test_the_checkouts_own_services_are_no_trouble(told, place, listener):
    services = {"api-server": {"pid": os.getpgid(0)}}
    (place.checkout / "var/services.json").write_text(json.dumps(services))
    finding = by_variable(told(ports, AIRFLOW_PORT=str(listener)))["AIRFLOW_PORT"]
    assert (finding.level, "of this checkout" in finding.found) == (Level.OK, True)


@pytest.mark.parametrize("value", ["none", "80", "65000", "-1", "８０８０"])
def test_what_is_no_port_is_told_with_what_is(told, value):
    finding = by_variable(told(ports, REKOGNITION_PORT=value))["REKOGNITION_PORT"]
    assert finding.level is Level.STOP
    assert "1024 to 55535" in finding.remedy
