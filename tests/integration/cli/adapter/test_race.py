"""Several who ask for trainings at once, each a process of its own, as Dag runs and commands are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from local_aws.rekognition.launch import Rekognition
from moderation.adapters import registry
from moderation.review.state.open import open_state
from moderation.settings import Settings
from support import moderation_runs
from support import rekognition_server as offline
from support.judged import NOW, judged, publish_judged

CARDS, GUNS, IMAGES = 60, 90, 190
COMMAND = """
import sys
from moderation.cli.main import main
print("ready", flush=True)
sys.stdin.readline()
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def server(
    aws_env: pytest.MonkeyPatch, bucket: str, tmp_path: Path, start_rekognition: Any, s3_client: Any
) -> Rekognition:
    """Published images of which the base model said nothing, and verdicts enough to train two labels."""
    started: Rekognition = start_rekognition(
        settings=offline.quick(moderator="support.quiet_moderator:QuietModerator")
    )
    moderation_runs.environment(aws_env, started, bucket, tmp_path)
    aws_env.setenv("MODERATION_REVIEW_DB", str(tmp_path / "review.db"))
    aws_env.setenv("MODERATION_ADAPTER_TEST_NEGATIVES", "20")
    publish_judged(Settings.from_env(), s3_client, bucket, red=CARDS, images=IMAGES)
    of_guns = {"subject": "label", "label": "Weapons", "level": 1, "l1": "Weapons", "verdict": "present"}
    state = open_state()
    for number in range(CARDS, CARDS + GUNS):
        other = judged(s3_client, bucket, number, red=False)
        state.log.append([replace(other, verdict_id=f"gun-{number}", decided_at=NOW, **of_guns)])  # type: ignore[arg-type]
    state.close()
    return started


def adapters_of(labels: Sequence[str]) -> list[str]:
    """Ask for a training of each of these labels, all at the same moment; the adapter that each is told."""
    asking = [
        subprocess.Popen(
            [sys.executable, "-c", COMMAND, "adapter", "train", label, "--max-cost-usd", "5", "--json"],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for label in labels
    ]
    for process in asking:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in asking:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate()[0] for process in asking]
    assert [process.returncode for process in asking] == [0] * len(asking)
    return [json.loads(text)["adapter"] for text in said]


# Long: threads of one process promise the same in `tests/integration/adapters/test_training.py`.
@pytest.mark.long
@pytest.mark.parametrize("labels", [["Gambling"] * 2, ["Gambling", "Weapons"] * 2], ids=["one", "two"])
def test_of_processes_that_ask_at_once_for_a_training_one_pays_and_all_have_it(
    labels: list[str], server: Rekognition
) -> None:
    told = adapters_of(labels)
    by_label = dict(zip(labels, told, strict=True))
    assert len(set(by_label.values())) == len(set(labels))
    assert [by_label[label] for label in labels] == told
    assert adapters_of(sorted(set(labels))) == [by_label[label] for label in sorted(set(labels))]
    started = [entry for entry in offline.ledger(server) if entry["event"] == "training_started"]
    assert len(started) == len(set(labels))
    versions = registry.load(Settings.from_env()).versions
    assert Counter(v.labels for v in versions.values()) == Counter((label,) for label in set(labels))
