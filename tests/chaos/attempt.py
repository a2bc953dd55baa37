"""One attempt at a stage, in a process of its own: what an Airflow worker would run."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import signal
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from moderation.storage.whole_file import write_whole

PRELOAD = ("chaos.warm",)
"""Imported once by the process that the attempts are forked from."""

LOGICAL_TIME = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Order:
    """What an attempt is to do.

    :param stage: a function of :mod:`chaos.stages`.
    :param arguments: its arguments.
    :param result: file that receives what came of it.
    :param strike: name of the point at which something happens, or None.
    :param victims: process groups that are killed there; none: the attempt kills itself.
    """

    stage: str
    arguments: dict[str, Any]
    environment: dict[str, str]
    result: Path
    strike: str | None = None
    victims: tuple[int, ...] = ()


@dataclass(frozen=True)
class Ending:
    """How an attempt ended.

    :param error: class and text of what it raised; None when it returned, or was killed.
    :param error_module: where that class is defined.
    """

    value: Any = None
    error: str | None = None
    error_module: str | None = None
    killed: bool = False
    details: str = field(default="", compare=False)


class FileStore:
    """Airflow's ``task_state_store`` for processes that die: one file, replaced whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _read(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self._path.read_text())
        except FileNotFoundError:
            return {}
        return found

    def _write(self, values: dict[str, Any]) -> None:
        write_whole(self._path, json.dumps(values).encode())

    def get(self, key: str) -> Any:
        return self._read().get(key)

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        self._write({**self._read(), key: value})

    def delete(self, key: str) -> None:
        self._write({name: value for name, value in self._read().items() if name != key})


def context(folder: Path, *, map_index: int, try_number: int, tries: int) -> dict[str, Any]:
    """What an operator's ``execute`` is given; only the state store outlives the process."""
    ti = SimpleNamespace(
        dag_id="moderate_images",
        run_id="nemesis",
        task_id="analyse",
        map_index=map_index,
        try_number=try_number,
        max_tries=tries,
        stats_tags={},
        xcom_push=lambda **_: None,
    )
    return {"ti": ti, "task_state_store": FileStore(folder / f"state-{map_index}.json")}


def run(order: Order) -> None:
    """Carry out an order; the entry point of the process."""
    os.environ |= order.environment
    with _output_to(order.result.with_suffix(".log")):
        from chaos import points, stages  # noqa: PLC0415 - the points' module must not load the pipeline

        logging.basicConfig(level=logging.INFO, force=True)
        if order.strike:
            points.arm(points.ALL[order.strike], functools.partial(_strike, order))
        try:
            ending = Ending(value=getattr(stages, order.stage)(**order.arguments))
        except Exception as error:  # whatever it is, it is the attempt's outcome
            kind = type(error)
            ending = Ending(
                error=f"{kind.__name__}: {error}",
                error_module=kind.__module__,
                details=traceback.format_exc(),
            )
        logging.info("CPU seconds: %.2f", time.process_time())
        unfinished = order.result.with_suffix(".tmp")
        unfinished.write_text(json.dumps(asdict(ending)))
        unfinished.replace(order.result)


def _strike(order: Order) -> None:
    order.result.with_suffix(".struck").touch()
    for group in order.victims:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
    if not order.victims:
        os.kill(os.getpid(), signal.SIGKILL)


@contextlib.contextmanager
def _output_to(path: Path) -> Iterator[None]:
    with path.open("a", buffering=1) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            yield
