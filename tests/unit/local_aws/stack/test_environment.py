from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy

from local_aws import isolation
from local_aws.seaweedfs import Credentials
from local_aws.stack import environment
from local_aws.stack.environment import inherited
from local_aws.stack.layout import Layout, Secrets, StackError
from moderation.policy.thresholds import read_thresholds

SECRETS = Secrets(Credentials("AKIALOCAL", "local's secret"), "p", "j", "f")
S3, REKOGNITION = "http://127.0.0.1:11111", "http://127.0.0.1:22222"


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path)


def test_settings_alerts_and_metrics_reach_airflow(layout):
    own = {
        "MODERATION_PRICE_TIERS": "[[null, 0.002]]",
        "MODERATION_ALERT_EMAIL": "ops@example.com",
        "AIRFLOW_CONN_SMTP_DEFAULT": "{}",
        "AIRFLOW__METRICS__STATSD_ON": "True",
        "PGSSLMODE": "verify-full",
        "PATH": "/bin",
        "LC_ALL": "C.UTF-8",
    }
    assert own.items() <= inherited(layout, own | {"MODERATION_SOURCE": "s3://archive"}).items()


@pytest.mark.parametrize(
    "name",
    [
        "AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_GLUE", "AWS_CONFIG_FILE", "AWS_OF_TOMORROW",
        "HTTP_PROXY", "https_proxy", "ALL_PROXY", "AIRFLOW_HOME", "AIRFLOW_CONFIG", "AIRFLOW_VAR_X",
        "AIRFLOW__CORE__DAGS_FOLDER", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME", "PIP_TARGET", "WEED_X",
        "PYICEBERG_CATALOG__X__URI", "FSSPEC_S3_ENDPOINT_URL", "MODERATION_SOURCE", "BOTO_CONFIG",
        "LD_PRELOAD",
    ],
)  # fmt: skip
def test_what_leads_elsewhere_stays_outside(layout, name):
    found = inherited(layout, {name: "/elsewhere"})

    assert "/elsewhere" not in found.values()


def test_no_home_but_the_stacks_own_is_read(layout):
    found = inherited(layout, {"HOME": "/home/somebody", "XDG_CONFIG_HOME": "/home/somebody/.config"})

    assert found["HOME"] == str(layout.var / "home")
    assert not [value for value in found.values() if "/home/somebody" in value]


def test_passwords_of_postgresql_are_still_found_in_the_persons_home(layout, tmp_path):
    (tmp_path / ".pgpass").touch()

    assert inherited(layout, {"HOME": str(tmp_path)})["PGPASSFILE"] == str(tmp_path / ".pgpass")


# What a shell may have exported; every value would lead elsewhere, or end in an error.
FOREIGN = {
    "AWS_PROFILE": "work",
    "AWS_DEFAULT_PROFILE": "work",
    "AWS_ACCESS_KEY_ID": "AKIAFOREIGN",
    "AWS_SESSION_TOKEN": "foreign",
    "AWS_SECURITY_TOKEN": "foreign",
    "AWS_CONFIG_FILE": "{home}/config",
    "AWS_SHARED_CREDENTIALS_FILE": "{home}/credentials",
    "AWS_CA_BUNDLE": "/nonexistent",
    "AWS_DATA_PATH": "/nonexistent",
    "AWS_RETRY_MODE": "nonsense",
    "AWS_MAX_ATTEMPTS": "none",
    "AWS_DEFAULTS_MODE": "auto",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    "AWS_USE_DUALSTACK_ENDPOINT": "true",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_ENDPOINT_URL": "https://elsewhere.example",
    "AWS_ENDPOINT_URL_S3": "https://elsewhere.example",
    "AWS_ENDPOINT_URL_STS": "https://elsewhere.example",
    "AWS_REGION": "eu-west-1",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/r",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/nonexistent",
    "HTTP_PROXY": "http://127.0.0.1:1",
    "http_proxy": "http://127.0.0.1:1",
    "ALL_PROXY": "http://127.0.0.1:1",
}
HOSTILE_CONFIG = """[default]
region = eu-west-1
ignore_configured_endpoint_urls = true
use_dualstack_endpoint = true
use_fips_endpoint = true
retry_mode = nonsense
credential_process = /bin/false
endpoint_url = https://elsewhere.example
ca_bundle = /nonexistent
s3 =
  addressing_style = virtual
  use_accelerate_endpoint = true
"""
ASK = """
import boto3, json, urllib.request
answers = {}
for service in ("s3", "rekognition", "sts", "glue", "service-quotas"):
    client = boto3.client(service)
    key = boto3.Session().get_credentials().get_frozen_credentials()
    answers[service] = [client.meta.endpoint_url, client.meta.region_name, key.access_key, key.secret_key]
    answers["token"] = key.token
s3 = boto3.client("s3")
answers["link"] = s3.generate_presigned_url("get_object", Params={"Bucket": "b-1", "Key": "k"}).split("?")[0]
answers["bypassed"] = bool(urllib.request.proxy_bypass("127.0.0.1"))
print(json.dumps(answers))
"""


def env_file(layout: Layout, environ: dict[str, str]) -> Path:
    variables = environment.aws_environment(layout, SECRETS, s3_endpoint=S3, rekognition_endpoint=REKOGNITION)
    key = SECRETS.s3
    isolation.write_aws_files(
        layout.aws, access_key=key.access_key, secret_key=key.secret_key, region="us-east-1"
    )
    environment.write_env_file(layout.env_file, environment.shielded(variables, environ=environ))
    return layout.env_file


@pytest.mark.parametrize("name", ["plain", 'it\'s $x %20 #1 "ü" & ;'])
def test_after_sourcing_env_every_call_is_local_whatever_shell_and_home_hold(tmp_path, name):
    layout = Layout(tmp_path / name)
    layout.root.mkdir()
    (tmp_path / "config").write_text(HOSTILE_CONFIG)
    (tmp_path / "credentials").write_text("[default]\naws_access_key_id = AKIAFOREIGN\n")
    shell = {name: value.format(home=tmp_path) for name, value in FOREIGN.items()}
    file = env_file(layout, shell)

    asking = [sys.executable, "-c", ASK]

    asked = subprocess.run(
        ["/bin/sh", "-euc", f'set -a; . {shlex.quote(str(file))}; set +a; exec "$@"', "sh", *asking],
        env=shell | {"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )

    assert asked.returncode == 0, asked.stderr
    found = json.loads(asked.stdout)
    who = ["us-east-1", SECRETS.s3.access_key, SECRETS.s3.secret_key]
    assert found["s3"] == [S3, *who]
    for service in ("rekognition", "sts", "glue", "service-quotas"):
        assert found[service] == [REKOGNITION, *who]
    assert not found["token"]
    assert found["link"] == f"{S3}/b-1/k"
    assert found["bypassed"]


def test_env_holds_nothing_but_names_and_values_so_that_anything_can_read_it(layout):
    lines = env_file(layout, {"NO_PROXY": "intranet.example"}).read_text().splitlines()

    assert all(line.partition("=")[0].isidentifier() for line in lines)
    assert "NO_PROXY=intranet.example,127.0.0.1,localhost,::1" in lines
    assert layout.env_file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("sign", [os.pathsep, "\n", "*", "?", "$HOME", "${X}"])
def test_a_folder_whose_name_would_be_taken_for_something_else_is_refused_in_one_line(sign):
    with pytest.raises(StackError, match="move it") as refused:
        Layout(Path(f"/srv/a{sign}b")).check()

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "name", ["a b", "it's", '"q"', "$x", "50%", "%20", "#1", "ü ☃", "a&b;c", "[x]", "-x", "~"]
)
def test_other_names_are_not_refused(name):
    Layout(Path("/srv") / name).check()


def test_airflows_database_is_found_below_any_folder(tmp_path):
    layout = Layout(tmp_path / "50%25 #ü")
    variables = environment.airflow_environment(layout, SECRETS, port=1)

    url = sqlalchemy.make_url(variables["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])

    assert url.database == str(layout.airflow_home / "airflow.db")
    assert url.query == {"timeout": "30"}


def test_this_process_is_cut_off_before_anything_is_started(layout):
    before = dict(os.environ)
    mask = os.umask(0o022)
    try:
        environment.enter(layout, FOREIGN | {"PATH": before["PATH"]})
        entered, masked = dict(os.environ), os.umask(0o022)
    finally:
        isolation.replace(before)
        os.umask(mask)

    assert masked == 0o077
    assert not entered.keys() & (FOREIGN.keys() - isolation.LOCAL_ONLY.keys())
    assert layout.var.stat().st_mode & 0o777 == 0o700


def test_a_new_installation_asks_5_and_shows_from_50_on(tmp_path):
    layout = Layout(tmp_path)
    layout.var.mkdir()
    environment.set_thresholds(layout)
    given = environment.thresholds(layout, {})
    assert given["MODERATION_MIN_CONFIDENCE"] == "5"
    assert read_thresholds(Path(given["MODERATION_THRESHOLDS"])).default == 50
    told = {"MODERATION_MIN_CONFIDENCE": "20", "MODERATION_THRESHOLDS": "/own.toml"}
    assert environment.thresholds(layout, told) == told


@pytest.mark.parametrize("left", ["s3", "catalog.db"])
def test_an_installation_that_has_moderated_before_goes_on_asking_what_it_asked(tmp_path, left):
    layout = Layout(tmp_path)
    (layout.var / left).mkdir(parents=True)
    environment.set_thresholds(layout)
    assert environment.thresholds(layout, {}) == {}
