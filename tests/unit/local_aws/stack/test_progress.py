from __future__ import annotations

import io
import json

import pytest

from local_aws.stack import failures
from local_aws.stack.layout import StackError
from local_aws.stack.progress import STAGES, Planned, Progress, describe
from local_aws.stack.run import Request


def done(*tasks):
    return {task: ["success"] for task in tasks}


@pytest.mark.parametrize(
    ("states", "stage"),
    [
        ({}, "discover"),
        ({"discover": ["running"]}, "discover"),
        ({"discover": ["success"], "plan": ["running"]}, "plan"),
        (done("discover", "plan") | {"approve": ["awaiting_input"]}, "approve"),
        (done("discover", "plan", "approve") | {"analyse": ["success", "running"]}, "analyse"),
        (
            done("discover", "plan", "approve", "single_calls")
            | {"analyse": ["skipped"], "detect": ["running", "none"]},
            "detect",
        ),
        # Whether there is anything for single calls is known when the instances of the task are.
        (done(*STAGES[:5]), "single_calls"),
        (done(*STAGES[:6]) | {"publish": ["queued"]}, "publish"),
        (done(*STAGES[:6]) | {"analyse": ["skipped"], "publish": ["running"]}, "publish"),
    ],
)
def test_the_stage_shown_is_the_first_that_is_not_done(states, stage):
    assert describe(states, [], Planned(1, 10, 10)).text.startswith(f"{stage}:")


def test_images_done_of_all_are_summed_over_the_jobs():
    jobs = [
        {"done": 3, "total": 10, "status": "IN_PROGRESS"},
        {"done": 10, "total": 10, "status": "SUCCEEDED"},
    ]

    states = done("discover", "plan", "approve") | {"analyse": ["running"]}
    step = describe(states, jobs, Planned(jobs=3, by_jobs=26, by_calls=0))

    assert step == ("analyse: 13 of 26 images, 1 of 3 jobs finished", 0.5)


def test_single_calls_are_counted_with_their_total():
    states = done("discover", "plan", "approve", "single_calls") | {"analyse": ["skipped"]}

    assert describe(states | {"detect": ["running"]}, [], Planned(0, 0, 2468), 1234) == (
        "detect: 1,234 of 2,468 images answered, one call each",
        0.5,
    )


@pytest.mark.parametrize("planned", [None, Planned(0, 0, 0), Planned(2, 0, 0)])
@pytest.mark.parametrize("stage", ["analyse", "detect"])
def test_a_total_that_is_not_known_is_not_shown_as_none(planned, stage):
    states = done(*STAGES[: STAGES.index(stage)]) | {stage: ["running"]}

    step = describe(states, [], planned)

    assert "of 0 " not in step.text
    assert step.share is None


def shown(*steps):
    stream = io.StringIO()
    progress = Progress(stream)
    for step in steps:
        progress.show(*step)
    return [line.split("] ")[1] for line in stream.getvalue().splitlines()]


def test_without_a_terminal_a_change_is_a_line():
    assert shown(("plan: a",), ("plan: a",), ("plan: b",)) == ["plan: a", "plan: b"]


def test_without_a_terminal_a_million_images_are_ten_lines_a_stage():
    steps = [(f"analyse: {done} of 1000", done / 1000) for done in range(1001)]

    assert shown(*steps) == [f"analyse: {tenth}00 of 1000".replace(" 000", " 0") for tenth in range(11)]


def test_without_a_terminal_a_stage_that_was_waited_in_goes_on_with_a_line():
    assert shown(("analyse: 3 of 10", 0.3), ("waiting: no answer",), ("analyse: 3 of 10", 0.3)) == [
        "analyse: 3 of 10",
        "waiting: no answer",
        "analyse: 3 of 10",
    ]


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({"MIN_CONFIDENCE": "150"}, "MIN_CONFIDENCE=150 is out of range; use 0 to 100"),
        ({"MIN_CONFIDENCE": "-1"}, "out of range"),
        ({"MIN_CONFIDENCE": "nan"}, "out of range"),
        ({"MIN_CONFIDENCE": "much"}, "is not a number"),
        ({"IMAGES": "/nonexistent"}, "IMAGES=/nonexistent is not a folder"),
        ({"IMAGES": __file__}, "is not a folder"),
        (
            {"ADAPTER": "champoin"},
            "ADAPTER=champoin is unknown; use champion, or the ARN of an adapter version",
        ),
        ({"PERMANENT": "yes"}, "PERMANENT=yes is unknown; use 1 or 0"),
        ({"PERMANENT": "1"}, "PERMANENT=1 goes with a load to do again: make run REDO=LOAD_ID PERMANENT=1"),
        ({"BACKEND": "both"}, "BACKEND=both is unknown; use auto, bulk, detect"),
    ],
)
def test_a_wrong_variable_is_refused_with_its_name_and_what_is_allowed(variables, complaint, tmp_path):
    with pytest.raises(StackError, match=complaint):
        Request.from_environment(variables, default_images=tmp_path)


def test_empty_variables_mean_the_defaults(tmp_path):
    request = Request.from_environment({"IMAGES": "", "MIN_CONFIDENCE": ""}, default_images=tmp_path)

    assert (request.images, request.min_confidence, request.backend) == (tmp_path, None, "auto")
    assert request.conf()["redo_load_id"] is None


def test_an_adapter_reaches_the_run(tmp_path):
    request = Request.from_environment({"ADAPTER": "champion"}, default_images=tmp_path)

    assert request.conf()["adapter"] == "champion"


def test_backend_and_redo_reach_the_run(tmp_path):
    request = Request.from_environment({"BACKEND": "detect", "REDO": "load-1"}, default_images=tmp_path)

    assert (request.conf()["backend"], request.conf()["redo_load_id"]) == ("detect", "load-1")
    assert request.conf()["redo_permanent"] is False
    with_refused = Request.from_environment({"REDO": "load-1", "PERMANENT": "1"}, default_images=tmp_path)
    assert with_refused.conf()["redo_permanent"] is True


def test_the_last_error_of_a_task_log_is_what_a_person_reads(tmp_path):
    log = tmp_path / "attempt=1.log"
    events = [
        {"level": "error", "event": "first"},
        {"level": "info", "event": "between"},
        {
            "level": "error",
            "event": "Task failed",
            "error_detail": [{"exc_type": "S3Error", "exc_value": "no bucket"}],
        },
    ]
    log.write_text("not json\n" + "\n".join(json.dumps(event) for event in events))

    assert failures.last_error(log) == "S3Error: no bucket"
