"""`moderation query` answers on the terminal, exports whole files, and says plainly what is wrong."""

from __future__ import annotations

import concurrent.futures
import io
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pytest

from moderation.cli import main, query
from moderation.errors import WarehouseError
from moderation.warehouses.reading import open_warehouse
from support import small_warehouse
from support.small_warehouse import DAYS, FIRST_LOAD, SECOND_LOAD, image

Command = Callable[..., int]

_HOLD = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
connection.close()
"""


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    return small_warehouse.small(tmp_path / "warehouse.duckdb")


@pytest.fixture
def run(warehouse: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("MODERATION_WAREHOUSE", str(warehouse))
    monkeypatch.setenv("COLUMNS", "100")

    def command(*arguments: str) -> int:
        return main.main(["query", *arguments])

    return command


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stdout is one, 100 columns wide."""
    monkeypatch.setattr(query, "_is_terminal", lambda: True)


@pytest.fixture
def writer(warehouse: Path) -> subprocess.Popen[str]:
    """Another process that has the file open for writing until its stdin is closed."""
    process = subprocess.Popen([sys.executable, "-c", _HOLD, str(warehouse)], stdin=-1, stdout=-1, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_without_a_query_it_lists_tables_and_ready_queries(
    run: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == 0
    shown = capsys.readouterr().out
    assert "13 rows" in shown
    assert "top_l3" in shown


def test_a_ready_query_prints_a_table(run: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("top-l3") == 0
    assert "Weapon Violence" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["images", "IMAGES", "images;", "FROM images", "select * from images;"])
def test_a_table_or_sql_is_a_query(text: str, run: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(text) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 13


def test_sql_is_read_from_stdin(
    run: Command, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("select 6 * 7 as answer"))
    assert run("-") == 0
    assert "42" in capsys.readouterr().out


@pytest.mark.usefixtures("terminal")
def test_a_terminal_gets_a_box(run: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("select status, '東京' as city from images where error_code is null limit 1") == 0
    assert capsys.readouterr().out.splitlines() == [
        "┌───────────┬─────────┐",
        "│  status   │  city   │",
        "│  varchar  │ varchar │",
        "├───────────┼─────────┤",
        "│ moderated │ 東京    │",
        "└───────────┴─────────┘",
        "",
    ]


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(("columns", "is_box"), [("27", True), ("26", False)])
def test_rows_wider_than_the_terminal_get_a_line_a_column(
    columns: str,
    is_box: bool,
    *,
    run: Command,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert run("select 'moderated' as status, E'東京\nKyoto' as city union all select null, 'x'") == 0
    lines = capsys.readouterr().out.splitlines()
    if is_box:
        assert lines[0].startswith("┌")
    else:
        assert lines == [
            "── 1 ─────────────────────",
            "status  moderated",
            "city    東京",
            "        Kyoto",
            "── 2 ─────────────────────",
            "status  NULL",
            "city    x",
        ]


def test_a_pipe_gets_no_boxes_and_no_cell_is_cut(run: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run("select 'moderated' as status, 7 as n, repeat('x', 200) as long union all select null, 1000, 'y'")
        == 0
    )
    assert capsys.readouterr().out.splitlines() == [
        "status        n  long",
        "moderated     7  " + "x" * 200,
        "NULL       1000  y",
    ]


@pytest.mark.parametrize(
    "options", [[], ["--format", "markdown"], ["--format", "csv"], ["--format", "jsonl"]]
)
def test_rows_that_are_asked_for_are_shown_and_the_others_are_spoken_of(
    run: Command, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    assert run("from range(100)", "--rows", "3", *options) == 0
    told = capsys.readouterr()
    assert "2" in told.out.splitlines()[-1]
    assert "there are more rows" in told.err
    assert run("from range(100)", "--rows", "100", *options) == 0
    assert "99" in (told := capsys.readouterr()).out.splitlines()[-1]
    assert not told.err


def test_a_table_is_cut_after_forty_rows_and_nothing_else_is(
    run: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("from range(100)") == 0
    assert len(capsys.readouterr().out.splitlines()) == 41
    assert run("from range(100)", "--format", "jsonl") == 0
    assert len(capsys.readouterr().out.splitlines()) == 100


def test_the_answer_as_csv_goes_down_a_pipe_whole(run: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("from range(100)", "-o", "-", "--rows", "3") == 0
    assert len(capsys.readouterr().out.splitlines()) == 101


def test_the_plan_of_a_query_keeps_its_lines(run: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("explain select * from images") == 0
    assert len(capsys.readouterr().out.splitlines()) > 3


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("name", ["table", "csv", "json", "jsonl", "markdown"])
def test_in_no_format_can_a_name_steer_a_terminal(
    run: Command, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert (
        run(
            "select chr(8238) || 'gpj.exe' as a, chr(155) || '2J' as b, chr(27) || '[2J' as c",
            "--format",
            name,
        )
        == 0
    )
    assert not {"\u202e", "\x9b", "\x1b"} & set(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["images", "--dialect", "athena"], "--dialect is of the text that --sql prints; add --sql"),
        (["images", "--sql", "--format", "csv"], "--sql prints the query and runs nothing"),
        (["--format", "csv"], "need a query"),
        (["images", "--format", "parquet"], "with -o FILE, or to a pipe with -o -"),
        (["images", "--safe-cells"], "--safe-cells is for CSV"),
        (["images", "--format", "xml"], "invalid choice"),
    ],
)
def test_an_option_that_would_have_no_effect_says_so(
    run: Command, capsys: pytest.CaptureFixture[str], options: list[str], says: str
) -> None:
    assert run(*options) == 2
    told = capsys.readouterr()
    assert says in told.err
    assert not told.out


def test_one_load_alone_can_be_asked(run: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("images", "--load", SECOND_LOAD) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 5


@pytest.mark.parametrize(
    ("days", "rows"),
    [
        (["--since", "2026-11-23"], 5),
        (["--until", "2026-11-22"], 8),
        (["--since", "2026-11-16", "--until", "2026-11-23"], 13),
        (["--since", "2026-11-17", "--until", "2026-11-22"], 0),
        (["--since", "2026-11-16", "--load", SECOND_LOAD], 5),
    ],
)
def test_days_can_be_asked_alone(
    days: list[str], rows: int, run: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("select count(*) as n from images", *days) == 0
    assert capsys.readouterr().out.split() == ["n", f"{rows}"]


def test_ready_queries_keep_to_the_days_asked_for(run: Command, tmp_path: Path) -> None:
    target = tmp_path / "days.csv"
    assert run("images_by_day_and_status", "--since", "2026-11-23", "-o", str(target)) == 0
    assert pyarrow.csv.read_csv(target).column("dt").to_pylist() == [DAYS[SECOND_LOAD]]


@pytest.mark.parametrize("day", ["yesterday", "2026-13-01", "23.11.2026", "2026-11-23' OR 1=1"])
def test_a_day_that_is_none_is_refused(day: str, run: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("images", "--since", day) == 2
    assert "is not a day such as 2026-11-22" in capsys.readouterr().err


def test_no_progress_bar_stands_among_the_rows_of_a_slow_answer(
    run: Command, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a terminal DuckDB draws one after two seconds; here it would after a tenth of one."""
    connect, answer = duckdb.connect, query._interruptible

    def impatient(*args: Any, **kwargs: Any) -> duckdb.DuckDBPyConnection:
        connection = connect(*args, **kwargs)
        connection.execute("SET progress_bar_time = 100")
        return connection

    def after_the_opening(*args: Any) -> str:
        capfd.readouterr()
        return answer(*args)

    monkeypatch.setattr(duckdb, "connect", impatient)
    monkeypatch.setattr(query, "_interruptible", after_the_opening)
    assert (
        run("select count(*) as n from range(1500) a, range(100000) b where hash(a.range, b.range) = 7") == 0
    )
    assert not {"▕", "%"} & set(capfd.readouterr().out)


def test_a_load_id_is_never_run_as_sql(run: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("images", "--load", "x' OR '1'='1") == 2
    assert "there is no load" in capsys.readouterr().err


def test_control_characters_in_keys_do_not_reach_the_terminal(
    tmp_path: Path, run: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [image(FIRST_LOAD, 1, "\x1b[2J\x1b]0;owned\x07.jpg")]
    path = small_warehouse.write(tmp_path / "hostile.duckdb", {"images": rows})
    assert run("select source_ref from images", "--warehouse", str(path)) == 0
    shown = capsys.readouterr().out
    assert "owned" in shown
    assert "\x1b" not in shown
    assert "\x07" not in shown


def test_text_cannot_turn_round_nor_steer_a_terminal(
    run: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("select chr(8238) || 'gpj.exe' as a, chr(155) || '2J' as b, chr(127) as c") == 0
    shown = capsys.readouterr().out
    assert not {"\u202e", "\x9b", "\x7f"} & set(shown)
    assert "\\u202egpj.exe" in shown


@pytest.fixture
def sigint() -> Iterator[None]:
    """Ctrl-C as in a terminal: a process that a script started in the background is born deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def press_ctrl_c(sigint: None) -> Callable[[threading.Event], None]:
    """Press Ctrl-C once the event has happened and the main thread waits for the query's thread."""
    main = threading.main_thread().ident
    assert main is not None

    def press(happened: threading.Event) -> None:
        happened.wait()
        waits = concurrent.futures.wait.__code__
        while all(
            frame.f_code is not waits for frame, _ in traceback.walk_stack(sys._current_frames()[main])
        ):
            time.sleep(0.01)
        signal.pthread_kill(main, signal.SIGINT)

    return lambda happened: threading.Thread(target=press, args=[happened], daemon=True).start()


def test_ctrl_c_ends_a_slow_query_soon(
    run: Command, press_ctrl_c: Callable[[threading.Event], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The query reads rows without end: that this test ends at all proves that it was interrupted."""
    runs = threading.Event()

    def rows_without_end() -> Iterator[pyarrow.RecordBatch]:
        while True:
            runs.set()
            yield pyarrow.record_batch({"n": range(1000)})

    schema = pyarrow.schema([("n", pyarrow.int64())])
    reader = pyarrow.RecordBatchReader.from_batches(schema, rows_without_end())
    real = query.fence

    def fence(connection: duckdb.DuckDBPyConnection) -> None:
        real(connection)
        connection.register("endless", reader)

    monkeypatch.setattr(query, "fence", fence)
    press_ctrl_c(runs)
    assert run("select count(*) as n from endless a, range(1000000) b where hash(a.n, b.range) = 7") == 130


def test_ctrl_c_is_heard_though_it_comes_before_the_query_has_begun(
    press_ctrl_c: Callable[[threading.Event], None],
) -> None:
    """DuckDB forgets an interrupt when a query begins, as this connection does."""
    submitted, lost, begun, heard = (threading.Event() for _ in range(4))

    class Connection:
        def interrupt(self) -> None:
            (heard if begun.is_set() else lost).set()

    def work() -> str:
        submitted.set()
        lost.wait()
        begun.set()
        return "interrupted" if heard.wait(60) else "not heard"

    press_ctrl_c(submitted)
    with pytest.raises(KeyboardInterrupt):
        query._interruptible(Connection(), work)  # type: ignore[arg-type]
    assert heard.is_set()


FILES = (
    "read_text", "read_blob", "read_csv", "read_csv_auto", "read_json", "read_json_auto", "read_ndjson",
    "read_json_objects", "read_ndjson_objects", "read_parquet", "parquet_scan", "parquet_metadata",
    "parquet_schema", "parquet_file_metadata", "parquet_kv_metadata", "sniff_csv", "glob", "read_duckdb",
)  # fmt: skip


@pytest.mark.parametrize(
    "sql",
    [
        *(f"SELECT * FROM {function}('{{secret}}')" for function in FILES),
        "SELECT * FROM '{secret}'",
        "COPY (SELECT 1) TO '{secret}'",
        "COPY images TO '{warehouse}'",
        "COPY (PIVOT (SELECT 1 AS a, 2 AS b) ON a USING sum(b)) TO '{secret}'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{secret}'",
        "/* look */ EXPLAIN ANALYZE COPY (SELECT 1) TO '{secret}'",
        *(
            f"{explain} COPY (SELECT 1) TO '{{warehouse}}' (USE_TMP_FILE false)"
            for explain in (
                "EXPLAIN ANALYZE",
                "EXPLAIN ANALYZE /* /* */ SELECT 1 -- */",
                "EXPLAIN /* /* */ ANALYZE SELECT 1 -- */ ANALYZE",
                "EXPLAIN /* /* */ SELECT 1 -- */ ANALYZE",
                "EXPLAIN (ANALYZE)",
                "EXPLAIN (ANALYZE /* ) SELECT 1 -- */ )",
                "EXPLAIN (ANALYZE, FORMAT json)",
            )
        ),
        "EXPORT DATABASE '{secret}.d'",
        "ATTACH '{secret}.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SELECT * FROM sqlite_scan('{secret}', 't')",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "SET threads = 1",
        "PRAGMA database_list",
        "SELECT 1; COPY (SELECT 1) TO '{secret}'",
        "CREATE TEMP TABLE t AS SELECT 1",
        "DELETE FROM images",
        "CALL pragma_version()",
        "SELECT * FROM query('COPY (SELECT 1) TO ''x.csv'' ')",
        "FROM secret",
    ],
)
def test_a_query_can_look_at_the_tables_and_do_nothing_else(
    run: Command, capsys: pytest.CaptureFixture[str], tmp_path: Path, warehouse: Path, sql: str
) -> None:
    file = tmp_path / "secret.csv"
    file.write_text("password\nhunter2\n")
    before = (file.read_bytes(), warehouse.read_bytes(), sorted(tmp_path.iterdir()))
    assert run(sql.format(secret=file, warehouse=warehouse)) == 2
    told = capsys.readouterr()
    assert "hunter2" not in told.out + told.err
    assert (file.read_bytes(), warehouse.read_bytes(), sorted(tmp_path.iterdir())) == before


@pytest.mark.parametrize(
    "sql",
    [
        "FROM images",
        "TABLE images",
        "SHOW TABLES",
        "DESCRIBE images",
        "SUMMARIZE images",
        "EXPLAIN SELECT * FROM images",
        "EXPLAIN ANALYZE SELECT * FROM images",
        "EXPLAIN (ANALYZE, FORMAT json) SELECT * FROM images",
        "-- a remark\nEXPLAIN /* it */ SELECT '--' AS a, '/*' AS b",
        "PIVOT images ON status USING count(*)",
        "WITH a AS (SELECT 1 AS n) SELECT * FROM a",
        "VALUES (1)",
        "-- a remark\nSELECT 1",
    ],
)
def test_every_way_to_look_is_taken(run: Command, sql: str) -> None:
    assert run(sql) == 0


def test_csv_holds_every_row(run: Command, tmp_path: Path) -> None:
    assert run("images", "-o", str(tmp_path / "images.csv"), "--rows", "1") == 0
    table = pyarrow.csv.read_csv(tmp_path / "images.csv")
    assert table.num_rows == 13
    assert table["source_ref"][0].as_py() == "s3://archive/a1.jpg"


def test_parquet_keeps_types_and_every_bit_of_a_confidence(run: Command, tmp_path: Path) -> None:
    exact = 99.86129760742188
    rows = [image(FIRST_LOAD, 1, "a.jpg", max_confidence=exact)]
    path = small_warehouse.write(tmp_path / "one.duckdb", {"images": rows})
    assert run("images", "-o", str(tmp_path / "out.parquet"), "--warehouse", str(path)) == 0
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert table["max_confidence"].to_pylist() == [exact]
    assert str(table.schema.field("moderated_at").type) == "timestamp[us, tz=UTC]"


@pytest.mark.parametrize("kind", ["duckdb", "sqlite"])
def test_an_export_takes_the_place_of_no_database(
    kind: str, run: Command, tmp_path: Path, warehouse: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = warehouse
    if kind == "sqlite":
        target = tmp_path / "catalog.db"
        with closing(sqlite3.connect(target)) as catalog:
            catalog.execute("CREATE TABLE t (a)")
    before = target.read_bytes()
    assert run("images", "-o", str(target), "--format", "csv") == 2
    assert "is a database" in capsys.readouterr().err
    assert target.read_bytes() == before


@pytest.mark.parametrize(
    ("target", "message"),
    [("images.xlsx", "must end in .csv, .json"), ("nowhere/images.csv", "cannot be written")],
)
def test_an_export_that_cannot_be_made_leaves_nothing(
    target: str, message: str, run: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.iterdir())
    assert run("images", "-o", str(tmp_path / target)) == 2
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_an_export_of_nothing_is_refused(
    run: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out.csv"
    assert run("-o", str(target)) == 2
    assert "need a query" in capsys.readouterr().err
    assert run("-- nothing", "-o", str(target)) == 2
    assert "one statement that answers" in capsys.readouterr().err
    assert not target.exists()


def test_a_failing_export_keeps_the_former_file(run: Command, tmp_path: Path) -> None:
    target = tmp_path / "old.csv"
    target.write_text("kept")
    failing = "select case when i = 90000 then error('late') else 'x' end as v from range(100000) t(i)"
    assert run(failing, "-o", str(target)) == 2
    assert target.read_text() == "kept"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("selec 1", "syntax error"),
        ("top_l4", "did you mean top_l3"),
        ("select nothing from images", "nothing"),
        ("delete from images", "one statement that answers"),
        ("   ", "no SQL"),
    ],
)
def test_a_wrong_query_is_answered_with_what_is_wrong(
    text: str, message: str, run: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(text) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert not shown.out


def test_the_text_is_printed_in_the_dialect_asked_for(
    run: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("images_by_example_rules", "--sql", "--dialect", "redshift") == 0
    assert "UNION ALL" in capsys.readouterr().out  # Redshift has no VALUES in FROM
    assert run("SELECT 1; SELECT 2", "--sql", "--dialect", "redshift") == 2
    assert "one statement" in capsys.readouterr().err
    assert run("top_l3", "--sql", "--dialect", "klingon") == 2
    assert "klingon" in capsys.readouterr().err


def test_a_table_too_has_a_text_in_another_dialect(run: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("labels", "--sql", "--dialect", "athena") == 0
    assert capsys.readouterr().out.split() == ["SELECT", "*", "FROM", '"labels"']


def test_a_missing_warehouse_names_the_remedy(
    run: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("images", "--warehouse", str(tmp_path / "none.duckdb")) == 2
    assert "MODERATION_WAREHOUSE" in capsys.readouterr().err
    assert not (tmp_path / "none.duckdb").exists()


def test_a_file_that_is_no_warehouse_is_named(
    run: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.duckdb").write_text("this is no database " * 1000)
    assert run("images", "--warehouse", str(tmp_path / "text.duckdb")) == 2
    assert "text.duckdb: cannot be read" in capsys.readouterr().err


def test_a_writer_that_stays_is_reported_with_its_process(
    run: Command, writer: subprocess.Popen[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("images", "--wait", "0.2") == 75
    assert f"process {writer.pid}" in capsys.readouterr().err
    writer.communicate()


def test_a_writer_that_leaves_is_waited_for(
    run: Command,
    writer: subprocess.Popen[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []

    def let_the_writer_go(seconds: float) -> None:
        pauses.append(seconds)
        writer.communicate()

    monkeypatch.setattr("moderation.warehouses.reading.time.sleep", let_the_writer_go)
    assert run("images") == 0
    assert pauses
    assert len(capsys.readouterr().out.splitlines()) == 1 + 13


def test_a_file_open_for_writing_in_this_process_is_said(warehouse: Path) -> None:
    with (
        duckdb.connect(str(warehouse)),
        pytest.raises(WarehouseError, match="open for writing"),
        open_warehouse(warehouse),
    ):
        pass


def test_many_readers_at_once(warehouse: Path) -> None:
    with open_warehouse(warehouse) as one, open_warehouse(warehouse, load_id=FIRST_LOAD) as two:
        assert one.execute("select count(*) from images").fetchone() == (13,)
        assert two.execute("select count(*) from images").fetchone() == (8,)
        assert one.execute("select count(*) from images").fetchone() == (13,)
