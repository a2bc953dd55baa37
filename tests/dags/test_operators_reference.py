"""docs/operators.md tells each parameter, what is templated and what its default is, and its example runs."""

from __future__ import annotations

import inspect
import re

import pytest

from rekognition.detect import RekognitionDetectModerationLabelsOperator
from rekognition.operators import RekognitionStartMediaAnalysisJobOperator
from rekognition.projects import operators as projects
from rekognition.projects.sensors import RekognitionProjectVersionSensor
from rekognition.projects.triggers import RekognitionProjectVersionTrainedTrigger
from rekognition.sensors import RekognitionMediaAnalysisJobSensor
from rekognition.triggers import RekognitionJobSlotTrigger, RekognitionMediaAnalysisJobCompletedTrigger
from support.airflow_home import REPOSITORY

PAGE = (REPOSITORY / "docs/operators.md").read_text(encoding="utf-8")
OF_THE_PROVIDER = {"aws_conn_id", "region_name", "verify", "botocore_config"}
OF_EVERY_SENSOR = {"poke_interval", "timeout"}


def table(name: str) -> dict[str, str]:
    """What the page's section of an operator says of each parameter."""
    section = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    (text,) = [part for part in section if part.startswith(f"{name}\n")]
    return dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", text, re.MULTILINE))


def parameters(cls: type) -> set[str]:
    own = inspect.signature(cls.__init__).parameters.values()  # type: ignore[misc]
    return {entry.name for entry in own if entry.kind is entry.KEYWORD_ONLY}


@pytest.mark.parametrize(
    "cls",
    [
        RekognitionStartMediaAnalysisJobOperator,
        RekognitionDetectModerationLabelsOperator,
        RekognitionMediaAnalysisJobSensor,
        projects.RekognitionCreateProjectOperator,
        projects.RekognitionCreateProjectVersionOperator,
        projects.RekognitionDeleteProjectVersionOperator,
        projects.RekognitionDeleteProjectOperator,
        RekognitionProjectVersionSensor,
    ],
)
def test_the_reference_tells_each_parameter_and_what_is_templated(cls: type) -> None:
    told = table(cls.__name__)
    assert set(told) - OF_EVERY_SENSOR == parameters(cls) - OF_EVERY_SENSOR
    templated = {name for name, text in told.items() if "**T**" in text}
    assert templated == set(cls.template_fields) - OF_THE_PROVIDER  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "cls",
    [
        RekognitionMediaAnalysisJobCompletedTrigger,
        RekognitionJobSlotTrigger,
        RekognitionProjectVersionTrainedTrigger,
    ],
)
def test_the_reference_tells_each_parameter_of_a_trigger(cls: type) -> None:
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{cls.__name__}`")]
    told = set(re.findall(r"`(\w+)`", row.split("|")[2]))
    assert told == set(inspect.signature(cls.__init__).parameters) - OF_THE_PROVIDER - {"self"}  # type: ignore[misc]
