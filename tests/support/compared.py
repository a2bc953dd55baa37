"""Adapters that were trained and compared, in the registry of a console's settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from moderation.adapters import gate, registry
from moderation.adapters.evaluation import Case, Evaluation, evaluate
from moderation.adapters.registry import Version
from moderation.settings import Settings
from moderation.variables.adapters import AdapterSettings
from support.fake_projects import PREFIX
from support.fake_rekognition import FakeRekognition


def arn_of(name: str) -> str:
    """The ARN of a version of the project ``cards``."""
    return f"{PREFIX}/cards/version/{name}/1700000000000"


def trained(fake: FakeRekognition, name: str, status: str = "TRAINING_COMPLETED") -> str:
    """A version that Rekognition has; returns its ARN."""
    fake.projects["cards"] = {"ProjectArn": f"{PREFIX}/cards/1", "Feature": "CONTENT_MODERATION"}
    fake.versions[arn_of(name)] = {"ProjectVersionArn": arn_of(name), "_life": [status]}
    return arn_of(name)


def comparison(found: Sequence[str], *, others: int = 80) -> Evaluation:
    """The adapter alone finds *Gambling* in these images, and both are right about the others."""
    cases = [_case(ref, truth=True, adapter=90.0) for ref in found]
    cases += [_case(f"s3://photos/tree-{number}", truth=False, adapter=0.0) for number in range(others)]
    return evaluate(
        cases,
        version_arn="arn",
        labels=["Gambling"],
        thresholds={},
        default_threshold=50.0,
        confidence=0.95,
        informative_needed=AdapterSettings().test_positives,
    )


def note(settings: Settings, arn: str, compared: Evaluation | None, **rule: Any) -> Version:
    """Keep it in the registry with what the gate says; None for one that was not compared."""
    told: dict[str, Any] = {}
    if compared is not None:
        judged = gate.judge(compared, rule=AdapterSettings(**rule))
        told = {"evaluation": compared.record(), "gate": judged.record(), "f1": 0.75, "cost_usd": 1.5}
        told |= {"trained_at": "2026-11-22T12:00:00+00:00", "billable_seconds": 5400}
    version = Version(
        arn=arn, project="cards", labels=("Gambling",), set_uri=f"{settings.work_uri}/no-set", **told
    )
    return registry.note(settings, version)


def _case(ref: str, *, truth: bool, adapter: float) -> Case:
    confidences = {"Gambling": adapter} if adapter else {}
    return Case(source_ref=ref, truth={"Gambling": truth}, base={}, adapter=confidences)
