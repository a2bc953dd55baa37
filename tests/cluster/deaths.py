"""What is killed while runs are under way, and how long the work that it had is away."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from cluster.cluster import Cluster
from cluster.servers import Servers
from cluster.watching import Instance, Watch

Held = Callable[[Instance], bool]


@dataclass(frozen=True)
class Death:
    """One of the cluster's parts dies.

    :param victim: its name.
    :param after: share of the manifests that have their answer when it does.
    :param held: which tasks were in its hands.
    """

    victim: str
    after: float
    held: Held


@dataclass(frozen=True)
class Recovery:
    """What a death cost.

    :param held: tasks that the dead had.
    :param started_seconds: from the death until what took its place was started.
    :param next_seconds: from the death until the next task of the run ended well.
    :param all_seconds: from the death until all tasks that it had were done.
    """

    victim: str
    held: int
    started_seconds: float
    next_seconds: float
    all_seconds: float


DEATHS = (
    Death("worker-1", 0.1, lambda one: one.host == "worker-1" and one.state == "running"),
    Death("scheduler", 0.3, lambda one: one.state in {"scheduled", "queued", "running"}),
    Death("triggerer", 0.5, lambda one: one.state == "deferred"),
    Death("redis", 0.7, lambda one: one.state == "queued"),
)


class Deaths:
    """Kills one after another, each once the one before is got over.

    :param run_id: the run that tells how far the work is.
    :param manifests: of that run.
    """

    def __init__(self, cluster: Cluster, servers: Servers, watch: Watch, run_id: str, manifests: int) -> None:
        self._cluster, self._servers, self._watch = cluster, servers, watch
        self._run_id, self._manifests = run_id, manifests

    def happen(self, say: Callable[[str], None]) -> list[Recovery]:
        """Let all of them die."""
        return [self._happen(death, say) for death in DEATHS]

    def _happen(self, death: Death, say: Callable[[str], None]) -> Recovery:
        run_id, watch = self._run_id, self._watch
        due = int(death.after * self._manifests)

        def is_due() -> bool:
            self._cluster.look()
            held = any(death.held(one) for one in watch.instances(run_id))
            return watch.finished(run_id) >= due and held

        watch.until(is_due, run_id, what=f"the moment of {death.victim}'s death")
        died = time.monotonic()
        self._kill(death.victim)
        held = {one.key for one in watch.instances(run_id) if death.held(one)}
        done = watch.finished(run_id)
        say(f"{death.victim} dies with {len(held)} tasks in its hands; {watch.summary(run_id)}")
        self._replace(death.victim)
        started = time.monotonic() - died
        watch.until(lambda: watch.finished(run_id) > done, run_id, what=f"work after {death.victim}'s death")
        following = time.monotonic() - died
        watch.until(lambda: watch.is_over(run_id, held), run_id, what=f"the end of what {death.victim} had")
        found = Recovery(death.victim, len(held), started, following, time.monotonic() - died)
        say(f"{death.victim} got over: {found}")
        return found

    def _kill(self, victim: str) -> None:
        if victim == "redis":
            self._servers.redis.kill()
        else:
            self._cluster.hosts[victim].kill()

    def _replace(self, victim: str) -> None:
        if victim == "redis":
            self._servers.redis.start()
        else:
            self._cluster.replace_host(victim)
