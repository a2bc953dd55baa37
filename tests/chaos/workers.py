"""One of the processes that share the seeds."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from typing import Any

from chaos.nemesis import Nemesis
from chaos.publishes import Publishes, Tally
from chaos.scenarios import scenario
from chaos.servers import Servers


def work(waiting: Any, done: Any, folder: Path, deadline: float | None) -> None:
    """Take tasks until there is none, with servers of its own.

    :param waiting: queue of ``("seed", number)``, ``("publishes", number)`` and, at the end, None.
    :param done: queue of `Outcome`, `Tally` or the text of a problem, and None at the end.
    :param deadline: time after which no further seed is begun.
    """
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: sys.exit("stopped"))
    with Servers(folder / "servers") as servers:
        nemesis = Nemesis(folder, servers)
        while (task := waiting.get()) is not None:
            kind, number = task
            if kind == "publishes":
                done.put(kill_publishes(nemesis, number))
            elif deadline is None or time.time() < deadline:
                done.put(nemesis.run(scenario(number)))
    done.put(None)
    done.close()
    done.join_thread()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def kill_publishes(nemesis: Nemesis, times: int) -> Tally | str:
    """Kill so many publishes; what went wrong, as text."""
    try:
        return Publishes(nemesis).kill(times)
    except Exception as error:  # whatever it is, the seeds go on
        return f"publishes: {type(error).__name__}: {error}"
