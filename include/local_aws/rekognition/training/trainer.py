"""Taking up trainings, those of a former process too."""

from __future__ import annotations

import threading

from local_aws.rekognition.training.store import TRAINING, Version
from local_aws.rekognition.training.training_run import School, TrainingRun

_LONGEST_WAIT = 5.0


class Trainer:
    """A thread that begins each training, as many at once as the quotas have let in."""

    def __init__(self, school: School) -> None:
        self._school = school
        self._changed = threading.Condition()
        self._running: dict[str, threading.Thread] = {}
        self._thread = threading.Thread(target=self._loop, name="trainer")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Say that there is a new training."""
        with self._changed:
            self._changed.notify()

    def stop(self) -> None:
        """Wait until the trainings in hand have stopped; ``School.stopping`` must be set before."""
        self.wake()
        self._thread.join()
        for thread in list(self._running.values()):
            thread.join()

    def _loop(self) -> None:
        while not self._school.stopping.is_set():
            with self._changed:
                for version in self._school.store.versions():
                    if version.status == TRAINING and version.arn not in self._running:
                        self._begin(version)
                if not self._school.stopping.is_set():
                    self._changed.wait(_LONGEST_WAIT)

    def _begin(self, version: Version) -> None:
        thread = threading.Thread(target=self._do, args=(version,), name=f"training-{version.name[:20]}")
        self._running[version.arn] = thread
        thread.start()

    def _do(self, version: Version) -> None:
        try:
            TrainingRun(version, self._school).run()
        finally:
            with self._changed:
                self._running.pop(version.arn, None)
                self._changed.notify()
