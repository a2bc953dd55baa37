"""All engines over the same data: time, CPU, memory, and whether they wrote the same rows.

``python run.py [--lines 400000] [--files 40] [--dense] [--rounds 5] [--engines ours duckdb_sql …]``

Each run is a process of its own, start and imports included. Rounds are interleaved, so that whatever else
the machine does hits all engines alike; the table has medians. "Same rows" is a digest over every column of
every table. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from digest import digests, schema_of
from generate import generate

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
SPARK = "spark_local"
PEERS = ("duckdb_sql", "polars_lazy", "clickhouse_sql", "arrow_json", "pandas_frames", SPARK)
OURS = "ours"
TIMEOUT = 1800


@dataclass(frozen=True)
class Run:
    """What one process took: seconds, CPU seconds, bytes."""

    wall: float
    cpu: float
    memory: int


def command(engine: str, data: Path, out: Path) -> list[str]:
    if engine == OURS:
        return [str(REPOSITORY / ".venv" / "bin" / "python"), str(HERE / "ours.py"), str(data), str(out)]
    return [sys.executable, str(HERE / "peers" / f"{engine}.py"), str(data), str(out)]


def measure(engine: str, data: Path, out: Path, cache: Path) -> Run:
    """Run one engine to its end; of its child processes the last that was seen counts."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(cache), "PYTHONPATH": ""}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    started = time.monotonic()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command(engine, data, out), env=environment, stdout=log, stderr=log)
        children_cpu, tree_memory = _watch(process, started)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - started
        if process.returncode:
            log.seek(0)
            raise SystemExit(f"{engine} failed:\n{log.read()[-2000:].decode(errors='replace')}")
    cpu = usage.ru_utime + usage.ru_stime
    return Run(wall, max(cpu, children_cpu), max(usage.ru_maxrss * 1024, tree_memory))


def _watch(process: subprocess.Popen[bytes], started: float) -> tuple[float, int]:
    """CPU and peak memory of a process with children (Spark's JVM); nothing for one without."""
    cpu: dict[int, float] = {}
    peak = 0
    watched = psutil.Process(process.pid)
    while watched.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() - started > TIMEOUT:
            process.kill()
        try:
            tree = [watched, *watched.children(recursive=True)]
            if len(tree) > 1:
                for member in tree:
                    times = member.cpu_times()
                    cpu[member.pid] = times.user + times.system
                peak = max(peak, sum(member.memory_info().rss for member in tree))
        except psutil.NoSuchProcess:
            continue
        time.sleep(0.02)
    return sum(cpu.values()), peak


def checksum(out: Path) -> str:
    """Of every byte of every file."""
    digest = hashlib.sha256()
    for path in sorted(out.rglob("*.parquet")):
        digest.update(str(path.relative_to(out)).encode() + path.read_bytes())
    return digest.hexdigest()


def benchmark(data: Path, engines: list[str], rounds: int, work: Path) -> dict[str, list[Run]]:
    """Interleaved rounds, after one that warms caches up and compares what was written."""
    expected, schema, bytes_of_ours = {}, {}, ""
    runs: dict[str, list[Run]] = {engine: [] for engine in engines}
    for number in range(rounds + 1):
        for engine in engines[number % len(engines) :] + engines[: number % len(engines)]:
            out = work / "out"
            run = measure(engine, data, out, work / "pycache")
            print(f"# {engine} {run.wall:.2f} s, CPU {run.cpu:.2f} s", file=sys.stderr)
            if number:
                runs[engine].append(run)
            else:
                schema = schema or schema_of(out)
                found = digests(out, schema)
                expected = expected or found
                if found != expected:
                    raise SystemExit(f"{engine} wrote other rows: {found} instead of {expected}")
            if engine == OURS:
                bytes_of_ours = bytes_of_ours or checksum(out)
                if checksum(out) != bytes_of_ours:
                    raise SystemExit("ours wrote other bytes than the last time")
            shutil.rmtree(out)
    return runs


def _median(runs: list[Run]) -> Run:
    wall, cpu, memory = (
        statistics.median(getattr(run, name) for run in runs) for name in ("wall", "cpu", "memory")
    )
    return Run(wall, cpu, int(memory))


def table(runs: dict[str, list[Run]]) -> str:
    """Markdown; ratios below 1 are better than the fastest peer."""
    medians = {engine: _median(found) for engine, found in runs.items()}
    peers = [median for engine, median in medians.items() if engine != OURS] or list(medians.values())
    wall, cpu = min(peer.wall for peer in peers), min(peer.cpu for peer in peers)
    lines = [
        "| engine | wall s | to best peer | CPU s | to best peer | peak MB |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for engine, median in sorted(medians.items(), key=lambda item: item[1].cpu):
        lines.append(
            f"| {engine} | {median.wall:.2f} | {median.wall / wall:.2f} | {median.cpu:.2f} "
            f"| {median.cpu / cpu:.2f} | {median.memory / 1e6:.0f} |"
        )
    return "\n".join(lines)


def runnable(engines: list[str]) -> list[str]:
    """Without those that this machine cannot run, each with a line that says why."""
    if SPARK in engines and not (shutil.which("java") or os.environ.get("JAVA_HOME")):
        print(
            f"# {SPARK} is skipped: no java on the path and no JAVA_HOME (apt install default-jre-headless)"
        )
        return [engine for engine in engines if engine != SPARK]
    return engines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--lines", type=int, default=400_000)
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--dense", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engines", nargs="+", default=[OURS, *PEERS], choices=[OURS, *PEERS])
    parser.add_argument("--data", type=Path, help="results files made before, instead of generated ones")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flatten-") as name:
        work = Path(name)
        data = arguments.data or work / "data"
        if arguments.data is None:
            generate(data, lines=arguments.lines, files=arguments.files, dense=arguments.dense)
        files = list(data.glob("*.jsonl"))
        size = sum(path.stat().st_size for path in files)
        runs = benchmark(data, runnable(arguments.engines), arguments.rounds, work)
        print(f"{size / 1e6:,.0f} MB in {len(files)} files, medians of {arguments.rounds} rounds:\n")
        print(table(runs))


if __name__ == "__main__":
    main()
