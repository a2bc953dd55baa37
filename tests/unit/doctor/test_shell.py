from __future__ import annotations

import socket

import pytest

from moderation.doctor import shell
from moderation.doctor.finding import Level
from moderation.variables.local_stack import LocalStack


def test_without_any_of_it_all_is_well(told):
    for look in (shell.proxies, shell.aws_variables, shell.aws_files, shell.settings):
        assert [finding.level for finding in told(look)] == [Level.OK]


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "http_proxy"])
@pytest.mark.parametrize("form", ["http://somebody:secret@{}", "somebody:secret@{}"])
def test_a_dead_proxy_stops_what_is_to_be_installed_and_its_password_is_not_told(told, name, form):
    (finding,) = told(shell.proxies, **{name: form.format("127.0.0.1:1")})
    assert finding.level is Level.STOP
    assert f"unset {name.upper()} {name.lower()}" in finding.remedy
    assert "secret" not in finding.found + finding.remedy


def test_a_proxy_that_answers_is_no_trouble(told):
    with socket.create_server(("127.0.0.1", 0)) as server:
        (finding,) = told(shell.proxies, HTTPS_PROXY=f"http://127.0.0.1:{server.getsockname()[1]}")
    assert finding.level is Level.OK


@pytest.mark.parametrize("value", ["http://[", "http://127.0.0.1:none", "::::", "http://"])
def test_what_is_no_address_of_a_proxy_is_told(told, value):
    assert [finding.level for finding in told(shell.proxies, HTTPS_PROXY=value)] == [Level.STOP]


def test_what_leads_moderation_elsewhere_is_named_without_its_value(told):
    (finding,) = told(shell.aws_variables, AWS_SESSION_TOKEN="secret", AWS_PROFILE="prod", AWS_REGION="x")
    assert finding.level is Level.WARNING
    assert finding.remedy.endswith("unset AWS_PROFILE AWS_SESSION_TOKEN")
    assert "secret" not in finding.found


def test_a_shell_that_has_read_env_is_as_it_should_be(told, place):
    environment = {"AWS_ACCESS_KEY_ID": "AKIALOCAL", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:8333"}
    marker = place.checkout / "var/local.json"
    LocalStack(place.checkout, environment, ()).write(lambda path, text: path.write_text(text))
    marker.chmod(0o600)
    assert [finding.level for finding in told(shell.aws_variables, **environment)] == [Level.OK]
    assert [finding.level for finding in told(shell.aws_variables, AWS_PROFILE="p", **environment)] == [
        Level.WARNING
    ]


@pytest.mark.parametrize(
    ("text", "level", "named"),
    [
        ("[default]\nregion = eu-west-1\n", Level.OK, ""),
        (
            "[default]\nignore_configured_endpoint_urls = true\n",
            Level.WARNING,
            "ignore_configured_endpoint_urls",
        ),
        ("[profile x]\ns3 =\n  use_accelerate_endpoint = true\n", Level.WARNING, "use_accelerate_endpoint"),
        ("region = eu-west-1\n", Level.WARNING, "cannot be read"),
        ("\xff", Level.WARNING, "cannot be read"),
    ],
)
def test_a_configuration_of_aws_is_told_if_it_leads_elsewhere(told, place, text, level, named):
    (place.home / ".aws").mkdir()
    (place.home / ".aws/config").write_text(text, encoding="latin-1")
    (finding,) = told(shell.aws_files)
    assert finding.level is level
    assert named in finding.found


def test_every_setting_that_is_wrong_is_told_at_once(told):
    wrong = {"MODERATION_DETECT_TPS": "many", "MODERATION_BACKEND": "both", "MODERATION_NATIVE": "x"}
    found = told(shell.settings, **wrong)
    assert [finding.level for finding in found] == [Level.STOP] * 3
    assert {finding.found.partition("=")[0] for finding in found} == wrong.keys()


def test_a_misspelt_setting_is_told_with_the_one_that_is_meant(told):
    (finding,) = told(shell.settings, MODERATION_WAREHOUS="w.duckdb")
    assert (finding.level, finding.remedy) == (Level.WARNING, "did you mean MODERATION_WAREHOUSE?")


def test_a_marker_of_the_local_services_that_cannot_be_used_is_told(told, place):
    (place.checkout / "var/local.json").touch()
    lost, _ = told(shell.aws_variables)
    assert (lost.level, "make" in lost.remedy) == (Level.WARNING, True)
