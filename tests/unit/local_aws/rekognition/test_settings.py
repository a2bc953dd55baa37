from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from local_aws.rekognition.configuration import from_environment
from local_aws.rekognition.settings import ServerSettings, SettingsError

ENVIRONMENT = {
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
    "AWS_ACCESS_KEY_ID": "AKID",
    "AWS_SECRET_ACCESS_KEY": "the-secret",
}


def test_settings_survive_a_round_trip_through_json() -> None:
    settings = ServerSettings(
        queued_seconds=3, limits={"open_jobs": 2}, faults=({"kind": "throttle", "count": 1},)
    )
    assert ServerSettings.from_json(settings.to_json()) == settings


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("nope", "JSON"),
        ("[]", "object"),
        ('{"nonsense": 1}', "nonsense"),
        ('{"workers": 0}', "workers"),
        ('{"workers": 1.5}', "workers"),
        ('{"workers": true}', "workers"),
        ('{"queued_seconds": -1}', "queued_seconds"),
        ('{"queued_seconds": "1"}', "queued_seconds"),
        ('{"limits": []}', "limits"),
        ('{"limits": {"min_side": "a"}}', "min_side"),
        ('{"faults": {}}', "faults"),
        ('{"denied": {"DetectCats": "policy"}}', "DetectCats"),
        ('{"denied": {"DetectModerationLabels": "mood"}}', "mood"),
        ('{"failed_image_lines": "maybe"}', "failed_image_lines"),
        ('{"summary_line_key": "line"}', "summary_line_key"),
        ('{"constraint_error_code": "Oops"}', "constraint_error_code"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(text: str, named: str) -> None:
    with pytest.raises(SettingsError, match=named):
        ServerSettings.from_json(text)


def test_the_usual_aws_variables_are_enough(tmp_path: Path) -> None:
    found = from_environment(ENVIRONMENT, tmp_path)
    assert found.secrets == {"AKID": "the-secret"}
    assert found.settings == ServerSettings()


def test_several_keys_and_settings_come_from_the_servers_own_variables(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    file.write_text('{"workers": 1}')
    given = {
        **ENVIRONMENT,
        "LOCAL_REKOGNITION_CREDENTIALS": json.dumps({"A": "1", "B": "2"}),
        "LOCAL_REKOGNITION_SETTINGS": f"@{file}",
        "LOCAL_REKOGNITION_ADMIN_TOKEN": "token",
    }
    found = from_environment(given, tmp_path)
    assert (found.secrets, found.settings.workers, found.admin_token) == ({"A": "1", "B": "2"}, 1, "token")


def test_the_admin_token_lies_in_a_file_that_only_its_owner_can_read(tmp_path: Path) -> None:
    for _ in range(2):
        token = from_environment(ENVIRONMENT, tmp_path / "state").admin_token
        file = tmp_path / "state" / "admin-token"
        assert file.read_text().strip() == token
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "change",
    [
        {"AWS_ENDPOINT_URL_S3": ""},
        {"AWS_ACCESS_KEY_ID": ""},
        {"AWS_SECRET_ACCESS_KEY": ""},
        {"LOCAL_REKOGNITION_CREDENTIALS": "not json: the-secret"},
        {"LOCAL_REKOGNITION_CREDENTIALS": "{}"},
        {"LOCAL_REKOGNITION_CREDENTIALS": '{"A": 1}'},
        {"LOCAL_REKOGNITION_SETTINGS": "{"},
        {"LOCAL_REKOGNITION_SETTINGS": "@/nonexistent"},
    ],
)
def test_a_bad_variable_is_named_and_no_secret_is_told(tmp_path: Path, change: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        from_environment({**ENVIRONMENT, **change}, tmp_path)
    assert next(iter(change)) in str(caught.value) or "settings" in str(caught.value)
    assert "the-secret" not in str(caught.value)
