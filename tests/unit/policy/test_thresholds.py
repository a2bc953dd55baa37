from __future__ import annotations

import pytest

from moderation.policy.thresholds import Thresholds, ThresholdsError, read_thresholds


@pytest.fixture
def file(tmp_path):
    return tmp_path / "thresholds.toml"


def test_without_a_file_what_was_asked_is_in_use():
    assert read_thresholds(None).of("Weapons", asked=35) == 35


def test_a_label_goes_by_its_own_threshold_in_any_spelling_and_others_by_the_default(file):
    file.write_text('version = "v3"\ndefault = 50\n[labels]\n"weapons" = 80\n')
    found = read_thresholds(file)
    assert found == Thresholds(version="v3", default=50.0, labels={"Weapons": 80.0})
    assert [found.of(name, asked=5) for name in ("WEAPONS", "Gambling", "Weather")] == [80, 50, 50]


def test_nothing_is_flagged_below_what_was_asked(file):
    file.write_text("default = 20\n")
    assert read_thresholds(file).of("Weapons", asked=50) == 50


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("default = 101", "default"),
        ("default = nan", "default"),
        ("default = true", "default"),
        ('default = "50"', "default"),
        ("[labels]\nWeather = 50", "Weather"),
        ("[labels]\nWeapons = -1", "Weapons"),
        ("labels = 5", "labels"),
        ("defualt = 5", "defualt"),
        ("default = ", "TOML"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_what_is_wrong(file, text, named):
    file.write_text(text)
    with pytest.raises(ThresholdsError, match=named) as caught:
        read_thresholds(file)
    assert str(file) in str(caught.value)


def test_a_missing_file_and_other_bytes_are_said(file):
    with pytest.raises(ThresholdsError, match="No such file"):
        read_thresholds(file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ThresholdsError, match="TOML"):
        read_thresholds(file)
