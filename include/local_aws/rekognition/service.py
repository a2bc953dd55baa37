"""The parts of the server put together, and started and stopped in the right order."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from local_aws.rekognition.adapters import AdapterBook
from local_aws.rekognition.denials import DenialBook
from local_aws.rekognition.faults import FaultBook, FaultRule
from local_aws.rekognition.images.analysis import Analyzer, Moderates, load_moderator
from local_aws.rekognition.images.kept import kept_looks
from local_aws.rekognition.images.objects import ObjectStore
from local_aws.rekognition.images.pool import FairPool
from local_aws.rekognition.images.regions import BucketRegions
from local_aws.rekognition.jobs.job_run import Workshop
from local_aws.rekognition.jobs.scheduler import Scheduler
from local_aws.rekognition.jobs.store import Store
from local_aws.rekognition.settings import ServerSettings
from local_aws.rekognition.sts.keyring import Keyring
from local_aws.rekognition.throttle import Throttle
from local_aws.rekognition.training.store import ProjectStore
from local_aws.rekognition.training.trainer import Trainer
from local_aws.rekognition.training.training_run import School

_CONTROL_THREADS = 8
_CALL_THREADS = 8


class StateInUse(RuntimeError):
    """Another server has this state folder."""


class Service:
    """Everything behind the HTTP layer.

    :param state_dir: folder of the database and of the jobs' local files; made when missing.
    :param secrets: secret keys by access key; these and sessions of theirs may sign requests.
    :param s3_endpoint_url: the S3 that holds manifests and images.
    :param moderator: what looks at images; by default what the settings name.
    :param model_version: version its answers carry; needed with ``moderator``.
    :raises StateInUse: another server uses ``state_dir``.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        secrets: Mapping[str, str],
        s3_endpoint_url: str,
        settings: ServerSettings,
        moderator: Moderates | None = None,
        model_version: str = "",
    ) -> None:
        state_dir.mkdir(parents=True, exist_ok=True)
        self._lock_file = _lock(state_dir / "lock")
        self.waiting_room = state_dir / "waiting"
        self.waiting_room.mkdir(exist_ok=True)
        self.settings = settings
        self.limits = settings.effective_limits()
        self.faults = FaultBook(FaultRule.from_dict(rule) for rule in settings.faults)
        self.denials = DenialBook(settings.denied)
        self.throttle = Throttle()
        if moderator is None:
            moderator, model_version = load_moderator(
                settings.moderator, threads=settings.workers, limits=self.limits
            )
        self.store = Store(state_dir / "rekognition.db")
        self.keys = Keyring(secrets, self.store, s3_endpoint_url)
        self.projects = ProjectStore(self.store)
        self.adapters = AdapterBook(settings.adapters, self.projects)
        self.analyzer = Analyzer(
            moderator,
            self.limits,
            model_version,
            self.adapters.learned,
            kept_looks(state_dir / "looks", model_version, self.limits, max_bytes=settings.kept_looks_bytes),
        )
        self.objects = ObjectStore(
            s3_endpoint_url, self.keys, BucketRegions(settings.bucket_regions), self.waiting_room
        )
        self.pool = FairPool(settings.workers, name="look")
        self.stopping = threading.Event()
        self.control = ThreadPoolExecutor(_CONTROL_THREADS, thread_name_prefix="control")
        self.calls = ThreadPoolExecutor(_CALL_THREADS, thread_name_prefix="call")
        self._fetchers = ThreadPoolExecutor(settings.fetch_threads, thread_name_prefix="fetch")
        shop = Workshop(
            settings,
            self.store,
            self.objects,
            self.analyzer,
            self.adapters,
            self._fetchers,
            self.pool,
            state_dir / "jobs",
            self.stopping,
        )
        self.scheduler = Scheduler(shop)
        school = School(
            settings,
            self.projects,
            self.objects,
            self.analyzer,
            self._fetchers,
            self.pool,
            state_dir / "trainings",
            self.stopping,
        )
        self.trainer = Trainer(school)

    def start(self) -> None:
        """Take up the jobs that are open, and load the model before the first image asks for it."""
        load = getattr(self.analyzer.moderator, "load", None)
        if load is not None:
            self.pool.submit(("calls", "load"), load)
        self.scheduler.start()
        self.trainer.start()

    def close(self) -> None:
        """Stop at the next checkpoint and let go of everything."""
        self.stopping.set()
        self.scheduler.stop()
        self.trainer.stop()
        self.pool.close()
        for executor in (self._fetchers, self.calls, self.control):
            executor.shutdown(cancel_futures=True)
        self.objects.close()
        self.keys.close()
        self.store.close()
        self._lock_file.close()


def _lock(path: Path) -> IO[bytes]:
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise StateInUse(
            f"another server uses {path.parent}; stop it or choose another state folder"
        ) from None
    return file
