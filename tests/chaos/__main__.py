"""``python -m chaos --seeds 200``: run the seeds, print the table, write it where asked."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from support import airflow_home

airflow_home.prepare()

from chaos import table  # noqa: E402 - airflow must not be imported before its home is set
from chaos.nemesis import Nemesis  # noqa: E402
from chaos.scenarios import scenario  # noqa: E402
from chaos.servers import Servers  # noqa: E402


def main() -> int:
    """Run; the exit code is the number of seeds that broke a promise, 125 at most."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--minutes", type=float, help="begin no further seed after that time")
    parser.add_argument("--write", type=Path, help="Markdown file whose table is replaced")
    given = parser.parse_args()
    outcomes = []
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: sys.exit("stopped"))  # the servers are stopped on the way out
    begun = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    with Servers(folder / "servers") as servers:
        nemesis = Nemesis(folder, servers)
        for seed in range(given.first, given.first + given.seeds):
            if given.minutes and time.monotonic() - begun > 60 * given.minutes:
                break
            outcome = nemesis.run(scenario(seed))
            outcomes.append(outcome)
            print(table.line(outcome), flush=True)
    text = table.markdown(outcomes)
    print(text)
    if given.write:
        table.replace(given.write, text)
    broken = sum(outcome.broken is not None for outcome in outcomes)
    if broken:
        print(f"{broken} seeds broke a promise; their files and logs are in {folder}", file=sys.stderr)
    return min(broken, 125)


if __name__ == "__main__":
    sys.exit(main())
