"""Doing one training, from where its files say it stands."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError, Executor, Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import orjson

from local_aws.inference.adapters.learned import LearnedAdapter
from local_aws.inference.adapters.views import CHANGES
from local_aws.inference.weight import HEAD_BYTES, weigh
from local_aws.rekognition.images.analysis import Analyzer
from local_aws.rekognition.images.objects import (
    Caller,
    ObjectForbidden,
    ObjectMissing,
    ObjectStore,
    Source,
    StorageRefused,
    StorageUnavailable,
)
from local_aws.rekognition.images.pool import FairPool
from local_aws.rekognition.settings import ServerSettings
from local_aws.rekognition.training import evaluation, ground_truth, learning
from local_aws.rekognition.training.evaluation import Judged
from local_aws.rekognition.training.examples import ExampleFile, Seen
from local_aws.rekognition.training.ground_truth import BadLine, Example, Sets, TrainingFailed
from local_aws.rekognition.training.store import ProjectStore, Version
from local_aws.rekognition.wire.errors import ApiError, Stopping

T = TypeVar("T")
_log = logging.getLogger(__name__)
_DEFAULT_THRESHOLD: Final = 50.0
_FEWER_VIEWS: Final = ((2_000, 1), (5_000, 0))
"""Images, and how many copies of each are looked at beyond: where so many differ by themselves, copies add
little but time."""
_TURNS_OF_OTHERS: Final = 2
"""To one of a training's: who waits for answers waits now, and a training takes an hour on AWS."""
_SERVICE_ISSUE: Final = "Amazon Rekognition experienced a service issue."


@dataclass(frozen=True)
class School:
    """What all trainings share; see ``Workshop`` of the jobs."""

    settings: ServerSettings
    store: ProjectStore
    objects: ObjectStore
    analyzer: Analyzer
    fetchers: Executor
    pool: FairPool
    folder: Path
    stopping: threading.Event


class TrainingRun:
    """One training under way; :meth:`run` is called once, in a thread of its own."""

    def __init__(self, version: Version, school: School) -> None:
        self._version = version
        self._school = school
        self._caller = Caller(version.access_key, version.region)
        digest = hashlib.sha256(version.arn.encode()).hexdigest()[:32]
        self._folder = school.folder / digest
        self._result: dict[str, Any] = {}

    def run(self) -> None:
        """Train to the end, or to where the server stops."""
        arn, store = self._version.arn, self._school.store
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._work()
        except (Stopping, CancelledError):
            return
        except TrainingFailed as failure:
            store.fail(arn, str(failure), result=self._result or None)
        except Exception:  # as in a job: the log says what the client is not told
            _log.exception("the training of %s failed by a fault of the server", arn)
            store.fail(arn, _SERVICE_ISSUE)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _work(self) -> None:
        self._check_output()
        sets, bad = self._read_sets()
        seen = self._look(sets)
        sets, unreadable = self._leave_out(sets, seen)
        labels = self._labels_to_learn(sets, seen)
        self._stop_if_asked()
        learned = self._learn(sets.training, seen, labels)
        self._finish(sets, seen, learned, [*bad, *unreadable])

    def _check_output(self) -> None:
        config, key = self._version.request["OutputConfig"], self._version.request.get("KmsKeyId")
        if key is not None and key not in self._school.settings.kms_keys:
            raise TrainingFailed(f"The KMS key {key} does not exist or cannot be used.")
        try:
            self._patiently(lambda: self._school.objects.check_bucket(self._caller, config["S3Bucket"]))
        except (ObjectMissing, ObjectForbidden, StorageRefused):
            raise TrainingFailed("Unable to write to output S3 bucket.") from None

    def _read_sets(self) -> tuple[Sets, list[BadLine]]:
        training, bad = self._read("TrainingData")
        if self._version.request["TestingData"].get("AutoCreate"):
            return ground_truth.split(training), bad
        testing, also_bad = self._read("TestingData")
        ground_truth.check_apart(training, testing)
        return Sets(tuple(training), tuple(testing)), [*bad, *also_bad]

    def _read(self, name: str) -> tuple[list[Example], list[BadLine]]:
        paths = []
        for number, asset in enumerate(self._version.request[name]["Assets"]):
            source = Source.of(asset["GroundTruthManifest"]["S3Object"])
            path = self._folder / f"{name}-{number}.jsonl"
            try:
                if not ground_truth.is_whole(path):
                    self._patiently(
                        lambda source=source, path=path: self._school.objects.download(  # type: ignore[misc]
                            self._caller, source, path
                        )
                    )
                    ground_truth.seal(path)
            except (ObjectMissing, ObjectForbidden, StorageRefused):
                text = f"The manifest file extension or contents are invalid. {source.uri} cannot be read."
                raise TrainingFailed(text) from None
            paths.append(path)
        limits = self._school.analyzer.limits
        return ground_truth.read(paths, most_images=limits.training_images, most_bytes=limits.manifest_bytes)

    def _look(self, sets: Sets) -> dict[str, Seen]:
        """Look at every image once; what was looked at before a kill is in the file.

        Copies are looked at of what is learnt from alone.
        """
        analyzer, views = self._school.analyzer, self._school.settings.training_views
        wanted = {one.source_ref: one.source for one in (*sets.training, *sets.testing)}
        views = min([views, *(most for images, most in _FEWER_VIEWS if len(wanted) > images)])
        views_of = dict.fromkeys(wanted, 0) | {one.source_ref: views for one in sets.training}
        made_with = {"model": analyzer.model_version, "views": [one.__name__ for one in CHANGES[:views]]}
        file = ExampleFile(self._folder / "examples.bin", made_with)
        try:
            waiting: deque[Future[Future[Seen]]] = deque()
            try:
                for ref, source in wanted.items():
                    if ref in file.refs:
                        continue
                    waiting.append(self._school.fetchers.submit(self._begin, ref, source, views_of[ref]))
                    if len(waiting) > self._school.settings.prefetch:
                        self._gather(file, waiting.popleft())
                while waiting:
                    self._gather(file, waiting.popleft())
            finally:
                for future in waiting:
                    if not future.cancel():
                        future.add_done_callback(lambda done: done.exception() or done.result().cancel())
            return {seen.source_ref: seen for seen in file.read()}
        finally:
            file.close()

    def _begin(self, ref: str, source: Source, views: int) -> Future[Seen]:
        """In a fetch thread: read the image, then queue the look at it."""
        school = self._school
        try:
            image = self._patiently(lambda: school.analyzer.fetch(school.objects, self._caller, source))
        except ApiError as error:
            return _done(Seen(ref, problem=(error.code, error.message)))
        known = school.analyzer.known(image)
        if known is not None and known.copies >= views:
            image.close()
            return _done(Seen(ref, known.scores, known.first(views).features))
        effort = weigh(image.read(HEAD_BYTES), copies=views, looked_at=known.copies if known else None)

        def look() -> Seen:
            try:
                look = school.analyzer.look(image, views=views, known=known)
            except ApiError as error:
                return Seen(ref, problem=(error.code, error.message))
            return Seen(ref, look.scores, look.features)

        effort = replace(effort, work=_TURNS_OF_OTHERS * effort.work)
        looked = school.pool.submit(("trainings", self._version.arn), look, effort=effort)
        looked.add_done_callback(lambda _: image.close())
        return looked

    def _gather(self, file: ExampleFile, future: Future[Future[Seen]]) -> None:
        self._stop_if_asked()
        file.add(future.result().result())
        file.flush()

    def _leave_out(self, sets: Sets, seen: Mapping[str, Seen]) -> tuple[Sets, list[BadLine]]:
        """Go on without the images that cannot be read, unless they are too many.

        :raises TrainingFailed: they are.
        """
        unreadable = []
        kept = []
        for examples in (sets.training, sets.testing):
            good = tuple(example for example in examples if seen[example.source_ref].problem is None)
            lost = [example for example in examples if seen[example.source_ref].problem is not None]
            kept.append(good)
            for example in lost:
                _, message = seen[example.source_ref].problem or ("", "")
                unreadable.append(BadLine(example.number, "ERROR_INVALID_IMAGE", message, example.source_ref))
            if len(lost) > self._school.settings.training_invalid_share * len(examples):
                self._deliver_summary(unreadable, len(sets.training) + len(sets.testing))
                raise TrainingFailed(
                    f"The manifest file contains too many invalid rows. {len(lost)} of {len(examples)} "
                    f"images cannot be read, the first is {lost[0].source_ref}."
                )
        return Sets(kept[0], kept[1]), unreadable

    def _labels_to_learn(self, sets: Sets, seen: Mapping[str, Seen]) -> list[str]:
        """The labels with enough mistakes of the base model to learn from.

        :raises TrainingFailed: there is none, or too little to test with.
        """
        settings = self._school.settings
        if len(sets.testing) < settings.training_test_images:
            raise TrainingFailed(
                f"The manifest file contains too few images. {len(sets.testing)} images are there to test "
                f"with, at least {settings.training_test_images} are needed."
            )
        everything = [*sets.training, *sets.testing] if self._splits else sets.training
        mistakes = learning.count_mistakes(everything, seen, threshold=self._threshold)
        enough = [
            label
            for label, (wrong, missed) in sorted(mistakes.items())
            if wrong >= settings.training_false_positives or missed >= settings.training_false_negatives
        ]
        if not enough:
            found = ", ".join(
                f"{label} has {wrong} false positives and {missed} false negatives"
                for label, (wrong, missed) in sorted(mistakes.items())
            )
            raise TrainingFailed(
                "The manifest file contains too few labeled images. At least one label needs "
                f"{settings.training_false_positives} false positives or "
                f"{settings.training_false_negatives} false negatives; "
                f"{found or 'the base model made no mistake'}."
            )
        return enough

    def _learn(
        self, examples: Sequence[Example], seen: Mapping[str, Seen], labels: Sequence[str]
    ) -> LearnedAdapter:
        return learning.learn(learning.sample_of(examples, seen, labels))

    def _finish(
        self, sets: Sets, seen: Mapping[str, Seen], learned: LearnedAdapter, bad: Sequence[BadLine]
    ) -> None:
        """Write the files, then end the training; a kill in between writes the same files again."""
        version, model_version = self._version, self._school.analyzer.model_version
        judged = [
            Judged(one, base, learned.scores(base, seen[one.source_ref].features[0].astype(np.float32)))  # type: ignore[index]
            for one in sets.testing
            if (base := seen[one.source_ref].scores) is not None
        ]
        known = {name for one in [*sets.training, *sets.testing] for name in one.labels}
        summary = evaluation.summary(
            judged,
            sorted(known | set(learned.heads)),
            threshold=self._threshold,
            training_images=len(sets.training),
            arn=version.arn,
            ended_at=time.time(),
        )
        training = self._deliver_lines("training.jsonl", map(evaluation.training_line, sets.training))
        testing = self._deliver_lines(
            "testing.jsonl",
            (evaluation.testing_line(one, model_version=model_version, arn=version.arn) for one in judged),
        )
        place = self._deliver("evaluation-summary.json", json.dumps(summary).encode())
        self._deliver_summary(bad, len(sets.training) + len(sets.testing) + len(bad))
        ahead = self._school.settings.training_seconds - (time.time() - version.born / 1000)
        if self._school.stopping.wait(max(0.0, ahead)):
            raise Stopping
        result = {
            **self._result,
            "training": training,
            "testing": testing,
            "summary": place,
            "f1_score": summary["AggregatedEvaluationResults"]["F1Score"],
        }
        seconds = max(1, round(time.time() - version.born / 1000))
        self._school.store.complete(
            version.arn, result=result, billable_seconds=seconds, learned=learned.to_bytes()
        )

    def _deliver_summary(self, bad: Sequence[BadLine], lines: int) -> None:
        """Write which lines of the manifests were of no use."""
        document = {
            "version": "1.0",
            "statistics": {
                "total-json-lines": lines,
                "valid-json-lines": lines - len(bad),
                "invalid-json-lines": len(bad),
            },
            "errors": [
                {
                    self._school.settings.summary_line_key: one.number,
                    **({"source-ref": one.source_ref} if one.source_ref is not None else {}),
                    "code": one.code,
                    "message": one.message,
                }
                for one in bad
            ],
        }
        self._result["manifest_summary"] = self._deliver("manifest-summary.json", orjson.dumps(document))

    def _deliver_lines(self, name: str, lines: Iterable[dict[str, Any]]) -> dict[str, str]:
        return self._deliver(name, b"".join(orjson.dumps(line) + b"\n" for line in lines))

    def _deliver(self, name: str, body: bytes) -> dict[str, str]:
        """Write one output file and return its place."""
        config, key_id = self._version.request["OutputConfig"], self._version.request.get("KmsKeyId")
        prefix = config.get("S3KeyPrefix", "")
        project = self._version.project_arn.split("/")[1]
        folder = f"{prefix}{'/' if prefix and not prefix.endswith('/') else ''}{project}/{self._version.name}"
        key = f"{folder}/{name}"
        path = self._folder / name
        path.write_bytes(body)
        try:
            self._patiently(
                lambda: self._school.objects.upload(
                    self._caller, path, config["S3Bucket"], key, kms_key=key_id
                )
            )
        except (ObjectMissing, ObjectForbidden, StorageRefused):
            raise TrainingFailed("Unable to write to output S3 bucket.") from None
        return {"Bucket": config["S3Bucket"], "Name": key}

    @property
    def _splits(self) -> bool:
        return bool(self._version.request["TestingData"].get("AutoCreate"))

    @property
    def _threshold(self) -> float:
        config = self._version.request.get("FeatureConfig", {}).get("ContentModeration", {})
        return float(config.get("ConfidenceThreshold", _DEFAULT_THRESHOLD))

    def _stop_if_asked(self) -> None:
        if self._school.stopping.is_set():
            raise Stopping

    def _patiently(self, call: Callable[[], T]) -> T:
        """Call S3 again while it is away, up to the set patience.

        :raises TrainingFailed: it stayed away.
        :raises Stopping: the server shuts down meanwhile.
        """
        deadline = time.monotonic() + self._school.settings.s3_patience_seconds
        delay = 0.1
        while True:
            try:
                return call()
            except StorageUnavailable as error:
                if time.monotonic() + delay > deadline:
                    _log.warning("the training of %s: S3 did not answer (%s)", self._version.arn, error)
                    raise TrainingFailed(_SERVICE_ISSUE) from error
            if self._school.stopping.wait(delay):
                raise Stopping
            delay = min(2.0, delay * 2)


def _done(seen: Seen) -> Future[Seen]:
    future: Future[Seen] = Future()
    future.set_result(seen)
    return future
