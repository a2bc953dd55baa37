"""Training an adapter with boto3 alone, and what is made of a training that ended; Airflow needs the latter.

A version's name is that of its set: whoever asks for the training of the same set finds the same version.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson
from botocore.exceptions import ClientError

from moderation.adapters import evaluation, gate, registry
from moderation.adapters.evaluation import Case, Evaluation
from moderation.adapters.gate import Gate
from moderation.adapters.registry import Version
from moderation.adapters.sets import erased, since, store
from moderation.adapters.sets.since import Since
from moderation.adapters.sets.store import StoredSet
from moderation.adapters.sets.training_set import TESTING
from moderation.adapters.status import USABLE, describe, whose
from moderation.errors import NeedsAPersonError, TransientError
from moderation.review.log import VerdictLog
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.variables.adapters import AdapterSettings

_FEATURE = "CONTENT_MODERATION"
_RIGHTS = (
    "rekognition:DescribeProjects", "rekognition:CreateProject",
    "rekognition:DescribeProjectVersions", "rekognition:CreateProjectVersion",
)  # fmt: skip

_log = logging.getLogger(__name__)


class TrainingError(NeedsAPersonError):
    """A training failed, or is not that of the set it should be; the text has AWS's own words."""


class TrainingGoesOnError(TransientError):
    """The training has not ended yet."""


class TrainingsFullError(TransientError):
    """AWS takes no more trainings, projects or versions now; nothing was begun."""


def version_name(stored: StoredSet) -> str:
    """The name under which a set is trained."""
    return f"set-{stored.digest[:16]}"


def output_uri(stored: StoredSet) -> str:
    """Where AWS writes what a training leaves behind."""
    return f"{stored.uri}/output"


def expected_cost_usd(rule: AdapterSettings) -> float:
    """The assumed price of a training; AWS tells its billed time only afterwards."""
    return rule.training_hours * rule.training_usd_per_hour


def begin(
    settings: Settings,
    rekognition: Any,
    stored: StoredSet,
    *,
    threshold: float = 50.0,
    person: str | None = None,
) -> str:
    """Start the training of a set, or find the one that was started; returns the version's ARN.

    One that failed is trained anew, under the next name: its cause may be mended by now.

    :param rekognition: a boto3 client.
    :param person: who asks for it.
    :raises TrainingError: AWS does not take it, or a version of the name was trained on something else.
    :raises TrainingsFullError: AWS takes no more for now.
    """
    with _refusals(stored):
        project = _project(rekognition, stored.project)
        arn, name = _find(rekognition, project, stored)
        if arn is None:
            arn = _create(rekognition, project, name, stored, threshold)
    note_begun(settings, arn, stored, person=person)
    return arn


@contextmanager
def _refusals(stored: StoredSet) -> Iterator[None]:
    """Say of what AWS refuses what would help."""
    try:
        yield
    except ClientError as error:
        if _code(error) == "AccessDeniedException":
            raise TrainingError(
                f"adapters may not be trained: grant {', '.join(_RIGHTS)} ({error})"
            ) from error
        if _code(error) in {"LimitExceededException", "ServiceQuotaExceededException"}:
            raise TrainingsFullError(
                f"{error}. What trains ends by itself: begin again then, or delete versions that nobody "
                f"uses. The set is kept: {stored.uri}"
            ) from error
        raise


def note_begun(settings: Settings, arn: str, stored: StoredSet, *, person: str | None = None) -> Version:
    """Keep in the registry what a version is trained on, and who asked for it first."""
    begun = Version(
        arn=arn,
        project=stored.project,
        labels=stored.contents.labels,
        set_uri=stored.uri,
        asked_by=person,
    )
    return registry.note_first(settings, begun)


def finish(
    settings: Settings,
    rekognition: Any,
    arn: str,
    *,
    rule: AdapterSettings,
    thresholds: Mapping[str, float] | None = None,
    default_threshold: float = 50.0,
    log: VerdictLog | None = None,
) -> tuple[Version, Evaluation, Gate]:
    """Read what a training left behind, compare, judge, and keep that in the registry. Nothing is paid.

    :param log: what people say now; None to compare by what they said when the set was made alone.
    :raises TrainingGoesOnError: it has not ended.
    :raises TrainingError: it failed.
    :raises moderation.adapters.evaluation.EvaluationError: what it left behind cannot be read.
    """
    version = registry.load(settings).known(arn)
    found = describe(rekognition, arn)
    if found is None:
        told = f"there is no adapter {arn} in this account and region{whose(rekognition, arn)}"
        raise TrainingError(f"{told}; train the set anew")
    if found["Status"] == "TRAINING_IN_PROGRESS":
        raise TrainingGoesOnError(f"the adapter {arn} is still being trained; try again later")
    if found["Status"] not in USABLE:
        told = found.get("StatusMessage") or "AWS gives no reason"
        raise TrainingError(f"the adapter {arn} is {found['Status']}: {told}")
    stored = store.load(settings, version.set_uri)
    left = _left_behind(settings, stored, found)
    compared, judged = _compare(
        left,
        stored,
        version,
        rule=rule,
        thresholds=thresholds or {},
        default_threshold=default_threshold,
        changed=since.look(log, stored) if log is not None else None,
    )
    seconds, begun = found.get("BillableTrainingTimeInSeconds"), found.get("CreationTimestamp")
    noted = Version(
        arn=arn,
        project=version.project,
        labels=version.labels,
        set_uri=version.set_uri,
        base_model_version=found.get("BaseModelVersion"),
        trained_at=(found.get("TrainingEndTimestamp") or datetime.now(UTC)).astimezone(UTC).isoformat(),
        f1=(found.get("EvaluationResult") or {}).get("F1Score"),
        billable_seconds=seconds,
        cost_usd=None if seconds is None else seconds / 3600 * rule.training_usd_per_hour,
        evaluation=compared.record(),
        gate=judged.record(),
        begun_at=begun.astimezone(UTC).isoformat() if begun else None,
    )
    kept = registry.note(settings, noted)
    if store.load(settings, version.set_uri).contents.erased != stored.contents.erased:
        raise TrainingGoesOnError(f"images of the set of {arn} were erased meanwhile; compare it again")
    return kept, compared, judged


@dataclass(frozen=True)
class _Left:
    """What a training left behind: both models' answers to the test images, and AWS's summary."""

    cases: list[Case]
    summary: dict[str, Any]


def _left_behind(settings: Settings, stored: StoredSet, found: Mapping[str, Any]) -> _Left:
    with s3_objects.open_client(settings) as s3:
        erased.from_outputs(s3, stored)
        cases = evaluation.read_cases(
            s3_objects.iter_lines(s3, _manifest_uri(found)), stored.contents, places=stored.places
        )
        return _Left(cases, orjson.loads(s3_objects.read(s3, _summary_uri(found)).body))


def _compare(
    left: _Left,
    stored: StoredSet,
    version: Version,
    *,
    rule: AdapterSettings,
    thresholds: Mapping[str, float],
    default_threshold: float,
    changed: Since | None,
) -> tuple[Evaluation, Gate]:
    of_content = {one.content: stored.place_of(one) for one in stored.contents.part(TESTING)}
    is_ours = {case.source_ref for case in left.cases} <= set(of_content.values())

    def judge(cases: list[Case]) -> tuple[Evaluation, Gate]:
        compared = evaluation.evaluate(
            cases,
            version_arn=version.arn,
            labels=version.labels,
            thresholds=thresholds,
            default_threshold=default_threshold,
            confidence=rule.gate_confidence / 100,
            informative_needed=rule.test_positives,
            summary=left.summary,
        )
        return compared, gate.judge(compared, rule=rule, is_ours=is_ours)

    compared, judged = judge(left.cases)
    if gone := list(stored.contents.erased.values()).count(TESTING):
        told = f"{gone} test images were erased since; AWS's own counts still have them"
        compared = replace(compared, disagreements=(told,))
    if changed is None:
        return compared, judged
    if changed.of(TESTING):
        truths = {of_content[content]: truth for content, truth in changed.truths.items()}
        _, now = judge([replace(c, truth=truths.get(c.source_ref, c.truth)) for c in left.cases])
        judged = gate.of_both(judged, now, told=changed.told_of_tests())
    return replace(compared, since=changed.record()), judged


def _project(rekognition: Any, name: str) -> str:
    found = _find_project(rekognition, name)
    if found is None:
        try:
            made = rekognition.create_project(ProjectName=name, Feature=_FEATURE, AutoUpdate="ENABLED")
            return str(made["ProjectArn"])
        except ClientError as error:
            if _code(error) != "ResourceInUseException":
                raise
            found = _find_project(rekognition, name)
            if found is None:
                raise TrainingError(
                    f"there is a project {name!r} that is none of adapters; name another one"
                ) from error
    return found


def _find_project(rekognition: Any, name: str) -> str | None:
    # Without Features, projects of adapters are invisible.
    answer = rekognition.describe_projects(ProjectNames=[name], Features=[_FEATURE])
    return next((str(entry["ProjectArn"]) for entry in answer["ProjectDescriptions"]), None)


def generation_name(base: str, generation: int) -> str:
    """The name of the first training of a set, or of one that follows after so many have failed.

    That of `rekognition.projects.training`, so that what a Dag began is found here, and the other way.
    """
    return base if generation == 1 else f"{base}-g{generation}"


def _find(rekognition: Any, project: str, stored: StoredSet) -> tuple[str | None, str]:
    """The newest version of a set that did not fail, None without any; and the name of the next one."""
    for generation in itertools.count(1):
        name = generation_name(version_name(stored), generation)
        entry = _version(rekognition, project, name)
        if entry is None:
            return None, name
        trained_on = (entry.get("TrainingDataResult") or {}).get("Input")
        if trained_on and trained_on != _assets(stored.training_uri):
            raise TrainingError(
                f"the version {entry['ProjectVersionArn']} was trained on something else; delete it, or name "
                "another project"
            )
        if entry["Status"] != "TRAINING_FAILED":
            return str(entry["ProjectVersionArn"]), name
        _log.warning(
            "the version %s failed: %s; training anew",
            entry["ProjectVersionArn"],
            entry.get("StatusMessage") or "AWS gives no reason",
        )
    raise AssertionError("unreachable")


def _version(rekognition: Any, project: str, name: str) -> dict[str, Any] | None:
    try:
        answer = rekognition.describe_project_versions(ProjectArn=project, VersionNames=[name])
    except ClientError as error:
        if _code(error) != "ResourceNotFoundException":
            raise
        return None
    return next((dict(entry) for entry in answer["ProjectVersionDescriptions"]), None)


def _create(rekognition: Any, project: str, name: str, stored: StoredSet, threshold: float) -> str:
    place = s3_objects.split_uri(output_uri(stored))
    try:
        made = rekognition.create_project_version(
            ProjectArn=project,
            VersionName=name,
            OutputConfig={"S3Bucket": place.bucket, "S3KeyPrefix": place.key},
            TrainingData=_assets(stored.training_uri),
            TestingData=_assets(stored.testing_uri),
            FeatureConfig={"ContentModeration": {"ConfidenceThreshold": threshold}},
        )
    except ClientError as error:
        # An answer that was lost, or somebody who was quicker.
        found = _code(error) == "ResourceInUseException" and _find(rekognition, project, stored)[0]
        if not found:
            raise
        return found
    return str(made["ProjectVersionArn"])


def _assets(uri: str) -> dict[str, Any]:
    place = s3_objects.split_uri(uri)
    return {"Assets": [{"GroundTruthManifest": {"S3Object": {"Bucket": place.bucket, "Name": place.key}}}]}


def _manifest_uri(found: Mapping[str, Any]) -> str:
    try:
        place = found["TestingDataResult"]["Output"]["Assets"][0]["GroundTruthManifest"]["S3Object"]
    except (KeyError, IndexError) as error:
        raise TrainingError(
            f"AWS tells no testing output manifest of {found.get('ProjectVersionArn')} ({error!r})"
        ) from error
    return f"s3://{place['Bucket']}/{place['Name']}"


def _summary_uri(found: Mapping[str, Any]) -> str:
    try:
        place = found["EvaluationResult"]["Summary"]["S3Object"]
    except KeyError as error:
        raise TrainingError(
            f"AWS tells no evaluation summary of {found.get('ProjectVersionArn')} ({error!r})"
        ) from error
    return f"s3://{place['Bucket']}/{place['Name']}"


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code"))
