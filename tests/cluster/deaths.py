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


@dataclass
class Recovery:
    """What a death cost, as far as it is known.

    :param held: tasks that the dead had.
    :param done: mapped tasks that had ended well then.
    :param died: when, on the monotonic clock.
    :param started_seconds: from the death until what took its place was started.
    :param next_seconds: from the death until the next task of the run ended well; 0 before.
    :param all_seconds: from the death until all tasks that it had were done; 0 before.
    """

    victim: str
    held: frozenset[tuple[str, int]]
    done: int
    died: float
    started_seconds: float
    next_seconds: float = 0.0
    all_seconds: float = 0.0


DEATHS = (
    Death("worker-1", 0.1, lambda one: one.host == "worker-1" and one.state == "running"),
    Death("scheduler", 0.3, lambda one: one.state in {"scheduled", "queued", "running"}),
    Death("triggerer", 0.5, lambda one: one.state == "deferred"),
    Death("redis", 0.7, lambda one: one.state == "queued"),
)


class Deaths:
    """Kills one after another, each when the work has come so far and has gone on after the death before.

    :param run_id: the run that tells how far the work is.
    :param manifests: of that run.
    """

    def __init__(self, cluster: Cluster, servers: Servers, watch: Watch, run_id: str, manifests: int) -> None:
        self._cluster, self._servers, self._watch = cluster, servers, watch
        self._run_id, self._manifests = run_id, manifests

    def happen(self, say: Callable[[str], None]) -> list[Recovery]:
        """Let all of them die; returns when what they had is done.

        :raises AssertionError: the run was over before they could, or nothing goes on.
        """
        found: list[Recovery] = []
        for death in DEATHS:
            self._wait(
                found, lambda death=death: self._is_due(death), f"the moment of {death.victim}'s death"
            )
            found.append(self._die(death, say))
            self._wait(found, lambda: found[-1].next_seconds, f"work after {death.victim}'s death")
        self._wait(found, lambda: all(one.all_seconds for one in found), "the end of what the dead had")
        return found

    def _wait(self, found: list[Recovery], check: Callable[[], object], what: str) -> None:
        def looked() -> object:
            self._cluster.look()
            for one in found:
                self._note(one)
            return check()

        self._watch.until(looked, self._run_id, what=what)

    def _is_due(self, death: Death) -> bool:
        instances = self._watch.instances(self._run_id)
        answered = sum(one.state == "success" for one in instances if one.index >= 0)
        assert answered < self._manifests, f"all was done before {death.victim} could die"
        return answered >= int(death.after * self._manifests) and any(death.held(one) for one in instances)

    def _die(self, death: Death, say: Callable[[str], None]) -> Recovery:
        died = time.monotonic()
        if death.victim == "redis":
            self._servers.redis.kill()
        else:
            self._cluster.hosts[death.victim].kill()
        held = frozenset(one.key for one in self._watch.instances(self._run_id) if death.held(one))
        say(f"{death.victim} dies with {len(held)} tasks; {self._watch.summary(self._run_id)}")
        done = self._watch.finished(self._run_id)
        if death.victim == "redis":
            self._servers.redis.start()
        else:
            self._cluster.replace_host(death.victim)
        return Recovery(death.victim, held, done, died, time.monotonic() - died)

    def _note(self, one: Recovery) -> None:
        if not one.next_seconds and self._watch.finished(self._run_id) > one.done:
            one.next_seconds = time.monotonic() - one.died
        if not one.all_seconds and self._watch.is_over(self._run_id, one.held):
            one.all_seconds = time.monotonic() - one.died
