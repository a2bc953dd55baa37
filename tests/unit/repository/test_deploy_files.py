"""The files for operators are what their readers take, and name only variables that something reads."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import check_jsonschema
import jsonschema
import pytest
import yaml
from airflow.configuration import AirflowConfigParser
from airflow.jobs import scheduler_job_runner

from moderation import settings
from moderation.variables.row import Reader, rows

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
COMPOSE_TEXT = (DEPLOY / "compose/docker-compose.yaml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
CHART: dict[str, Any] = yaml.safe_load((DEPLOY / "kubernetes/values.yaml").read_text(encoding="utf-8"))
BIN = Path(sys.executable).parent
VENDORED = Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor"
OF_CELERY = {"broker_url", "result_backend", "worker_concurrency"}  # its provider is in the image alone
OF_THE_SCHEDULER = {"num_stuck_in_queued_retries"}
"""Options that Airflow reads and does not describe."""
OF_OTHERS = {
    *("POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD", "MODERATION_DB_PASSWORD", "REDIS_PASSWORD"),
    *("BULK_JOBS", "ADMIN_PASSWORD", "DUMB_INIT_SETSID", "GF_SECURITY_ADMIN_PASSWORD"),
}
"""What the images besides Airflow's read, and the commands that stand in the file itself."""


def airflow_knows(section: str, option: str) -> bool:
    if option in OF_THE_SCHEDULER:
        return section == "scheduler" and f'"{option}"' in inspect.getsource(scheduler_job_runner)
    known = AirflowConfigParser().configuration_description
    return option in OF_CELERY if section == "celery" else option in known.get(section, {}).get("options", {})


def is_read_by_something(name: str) -> bool:
    if found := re.fullmatch(r"AIRFLOW__([A-Z_]+?)__([A-Z_]+)", name):
        return airflow_knows(found[1].lower(), found[2].lower())
    return name in settings.known() | OF_OTHERS or bool(re.fullmatch(r"AIRFLOW_CONN_[A-Z_]+", name))


def compose_variables() -> set[str]:
    return {name for service in COMPOSE["services"].values() for name in service.get("environment", {})}


def chart_variables() -> set[str]:
    return {entry["name"] for entry in CHART["env"]} | {entry["envName"] for entry in CHART["secret"]}


def test_compose_is_what_the_compose_specification_says() -> None:
    schema = json.loads((VENDORED / "compose-spec.json").read_text(encoding="utf-8"))
    jsonschema.validators.validator_for(schema)(schema).validate(COMPOSE)


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("*.yaml")), ids=lambda path: path.name)
def test_every_yaml_file_says_each_thing_once(path: Path) -> None:
    class Once(yaml.SafeLoader):
        pass

    def mapping(loader: Once, node: yaml.MappingNode) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        assert len(keys) == len(set(keys)), f"line {node.start_mark.line + 1}"
        loader.flatten_mapping(node)
        return dict(loader.construct_pairs(node, deep=True))

    Once.add_constructor("tag:yaml.org,2002:map", mapping)
    assert yaml.load(path.read_text(encoding="utf-8"), Loader=Once)


@pytest.mark.parametrize("name", sorted(compose_variables() | chart_variables()))
def test_a_variable_of_the_files_is_read_by_something(name: str) -> None:
    assert is_read_by_something(name)


def test_a_variable_that_nothing_reads_is_found() -> None:
    assert not is_read_by_something("AIRFLOW__CORE__EXECUTR")
    assert not is_read_by_something("MODERATION_SORCE")


@pytest.mark.parametrize("section", sorted(CHART["config"]))
def test_an_option_of_the_charts_values_is_airflows(section: str) -> None:
    assert all(airflow_knows(section, option) for option in CHART["config"][section])


def test_the_chart_makes_no_user_whose_password_everybody_knows() -> None:
    assert CHART["createUserJob"] == {"enabled": False}


def test_the_options_for_mwaa_are_airflows() -> None:
    options = json.loads((DEPLOY / "mwaa/airflow-configuration-options.json").read_text(encoding="utf-8"))
    assert all(airflow_knows(*name.split(".")) for name in options)


def test_the_example_of_compose_lists_what_the_file_asks_for_and_nothing_else() -> None:
    asked = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", COMPOSE_TEXT))
    example = (DEPLOY / "compose/example.env").read_text(encoding="utf-8")
    assert asked == set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE))


def filled(text: str) -> str:
    """A value of the file once `.env` is filled in as the example says; passwords are letters and digits."""
    example = dict(
        re.findall(r"^([A-Z_]+)=(.*)$", (DEPLOY / "compose/example.env").read_text(), re.MULTILINE)
    )
    value = re.sub(r"\$\{([A-Z_]+)(?::[?-][^}]*)?\}", lambda found: example[found[1]] or "4f1c0a9b77de", text)
    return value.replace("YOUR-", "your-")


def test_what_compose_sets_is_taken_by_the_settings_and_by_airflow() -> None:
    given = {name: filled(str(value)) for name, value in COMPOSE["x-airflow"]["environment"].items()}
    unset = {"MODERATION_SNS_TOPIC_ARN": "", "MODERATION_ALERT_EMAIL": "", "MODERATION_ROLES": ""}
    for table in settings.TABLES:
        table.from_env(given | unset)
    for name, value in given.items():
        if name.startswith("AIRFLOW_CONN_"):
            assert json.loads(value)["conn_type"] in {"aws", "postgres"}


def test_what_the_chart_sets_is_taken_by_the_settings() -> None:
    given = {entry["name"]: entry["value"].replace("YOUR-", "your-") for entry in CHART["env"]}
    for table in settings.TABLES:
        table.from_env(given)


def secrets(place: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in place.items():
        if re.search(r"PASSWORD|SECRET|FERNET|_CONN_[A-Z]|SQL_ALCHEMY|BROKER|BACKEND|CATALOG", name):
            yield name, str(value)


def test_no_secret_stands_in_compose_and_none_has_a_default() -> None:
    found = [
        pair for service in COMPOSE["services"].values() for pair in secrets(service.get("environment", {}))
    ]
    assert len(found) > 20
    for name, value in found:
        if name not in {
            "AIRFLOW_CONN_AWS_DEFAULT",
            "GF_SECURITY_ADMIN_PASSWORD",
            "AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID",
        }:
            assert re.search(r"\$\{[A-Z_]+:\?\}", value), name
    example = (DEPLOY / "compose/example.env").read_text(encoding="utf-8")
    assert not re.findall(r"^[A-Z_]*(?:PASSWORD|SECRET|KEY)[A-Z_]*=.+", example, re.MULTILINE)


@pytest.mark.parametrize(
    "name", ["postgres", "redis", "api-server", "scheduler", "dag-processor", "triggerer", "worker"]
)
def test_a_service_that_others_wait_for_says_how_it_is(name: str) -> None:
    assert COMPOSE["services"][name]["healthcheck"]["test"]


def test_nothing_is_published_beyond_the_host() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", ())]
    assert ports
    assert all(str(port).startswith("127.0.0.1:") for port in ports)


def test_a_file_that_compose_mounts_is_there() -> None:
    mounts = re.findall(r"(\.{1,2}/[\w./-]+):/", COMPOSE_TEXT)
    assert mounts
    assert all((DEPLOY / "compose" / mount).is_file() for mount in mounts)


@pytest.mark.parametrize("environment", [COMPOSE["x-airflow"]["environment"], None], ids=["compose", "chart"])
def test_no_state_of_several_workers_lies_on_the_disk_of_one(environment: dict[str, str] | None) -> None:
    given = environment if environment is not None else dict.fromkeys(chart_variables(), "")
    local = {
        variable.names[0]
        for variable in rows(settings.Settings).values()
        if variable.secret and Reader.TASK in variable.read_by
    }
    assert {"MODERATION_CATALOG_URI", "MODERATION_WAREHOUSES"} <= local
    assert local <= given.keys()


@pytest.mark.parametrize("path", ["Dockerfile", "tests/cluster/image/base.dockerfile"])
def test_a_dockerfile_has_nothing_that_a_linter_warns_of(path: str) -> None:
    done = subprocess.run(
        [BIN / "hadolint", "--failure-threshold", "warning", ROOT / path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_shell_scripts_have_nothing_that_a_linter_warns_of() -> None:
    scripts = [*DEPLOY.rglob("*.sh"), *(ROOT / "tests").rglob("*.sh"), ROOT / ".ci" / "run"]
    done = subprocess.run([BIN / "shellcheck", *scripts], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_chart_gets_the_airflow_of_the_image() -> None:
    base = re.search(
        r"^ARG BASE_IMAGE=apache/airflow:slim-([\d.]+)-", (ROOT / "Dockerfile").read_text(), re.MULTILINE
    )
    assert base is not None
    assert CHART["airflowVersion"] == base[1]
