"""Whatever query a text offers to a newcomer, the tables of the demo images answer it with rows."""

from __future__ import annotations

import ast
import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from moderation import notebook
from moderation.cli import main
from moderation.report.counts import LabelCount, Report
from moderation.report.text import queries
from support import demo
from support.small_warehouse import FIRST_LOAD

ROOT = Path(__file__).parents[3]
GUIDES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(kind: str) -> Iterator[tuple[Path, str]]:
    for guide in GUIDES:
        for found in BLOCK.finditer(guide.read_text(encoding="utf-8")):
            if found[1] == kind:
                yield guide, found[2]


def commands() -> Iterator[list[str]]:
    """Arguments of `moderation` in every query that a guide shows."""
    for _, block in blocks("console"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line.removeprefix("$ "), comments=True) if line.startswith("$ ") else []
            # What a shell does with the answer is not the command's.
            words = list(itertools.takewhile(lambda word: word not in {">", "|"}, words))
            if words[:2] == ["make", "query"] and words[2:]:
                yield ["query", words[2].removeprefix("SQL=")]
            elif words[1:2] == ["query"] and words[2:] and "--sql" not in words:
                yield words[1:]


def notebook_queries() -> Iterator[tuple[list[object], dict[str, object]]]:
    """Arguments of `notebook.query` in every piece of Python that a guide or an example shows."""
    texts = [text for _, text in blocks("python")]
    texts += [path.read_text(encoding="utf-8") for path in (ROOT / "examples").glob("*.py")]
    for text in texts:
        for call in ast.walk(ast.parse(text)):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "notebook.query":
                literal = {
                    keyword.arg or "": ast.literal_eval(keyword.value)
                    for keyword in call.keywords
                    if isinstance(keyword.value, ast.Constant)
                }
                yield [ast.literal_eval(argument) for argument in call.args], literal


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo.warehouse(tmp_path_factory.mktemp("demo") / "warehouse.duckdb")


def answer(sql: str, warehouse: Path) -> list[tuple[object, ...]]:
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        return connection.execute(sql).fetchall()


@pytest.mark.parametrize("arguments", list(commands()), ids=shlex.join)
def test_a_documented_command_answers_on_the_demo(
    arguments: list[str], warehouse: Path, tmp_path: Path
) -> None:
    # Of another place, the same rows: what is asked here is whether there are any.
    given = [word for word in arguments if word not in {"--published", "--safe-cells"}]
    for flag, value in (("--load", FIRST_LOAD), ("-o", None), ("--output", None), ("--format", None)):
        if flag in given:
            at = given.index(flag)
            given[at : at + 2] = [flag, value] if value else []
    target = str(tmp_path / "answer.parquet")

    assert main.main([*given, "--warehouse", str(warehouse), "-o", target]) == 0

    assert duckdb.read_parquet(target).fetchall()


def test_the_commands_that_the_list_of_tables_ends_with_answer_on_the_demo(
    warehouse: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["query", "--warehouse", str(warehouse)]) == 0
    offered = [line for line in capsys.readouterr().out.splitlines() if line.startswith("moderation query")]
    assert offered
    for line in offered:
        target = str(tmp_path / "answer.parquet")
        assert main.main([*shlex.split(line)[1:], "--warehouse", str(warehouse), "-o", target]) == 0
        assert duckdb.read_parquet(target).fetchall()


@pytest.mark.parametrize("sql", [text for path, text in blocks("sql") if path.name == "README.md"])
def test_sql_of_the_first_page_answers_on_the_demo(sql: str, warehouse: Path) -> None:
    assert answer(sql, warehouse)


@pytest.mark.parametrize("call", list(notebook_queries()), ids=repr)
def test_a_documented_line_of_python_answers_on_the_demo(
    call: tuple[list[str], dict[str, object]], warehouse: Path
) -> None:
    arguments, named = call
    named.pop("published", None)
    assert len(notebook.query(*arguments, warehouse=warehouse, **named))  # type: ignore[arg-type]


@pytest.mark.parametrize("levels", [1, 2])
def test_every_query_that_a_run_prints_answers_on_the_demo(levels: int, warehouse: Path) -> None:
    paths = sorted({found[:depth] for found in demo.LABELS.values() for depth in range(1, levels + 1)})
    report = Report(
        load={"load_id": FIRST_LOAD},
        flagged=len(demo.LABELS),
        labels=tuple(LabelCount(path=path, images=1) for path in paths),
        content_types={"none": 11, "animated": 11},
        failures=(),
        anomalies={},
        tables_uri="",
        warehouse=str(warehouse),
    )

    offered = queries(report)

    assert len(offered) == 3
    assert all(answer(sql, warehouse) for sql in offered)
