from __future__ import annotations

import subprocess
import sys

import pytest

CONSOLE = """
import sys
from moderation.storage.memory import give_back_now, leave_pandas_out
leave_pandas_out()
import moderation.console.alone
import pyarrow as pa
pa.array(["a"])
give_back_now()
print("pandas" in sys.modules)
import pandas
print(pandas.Series([1]).sum())
"""


@pytest.mark.slow
def test_the_console_does_without_pandas_and_leaves_it_to_others():
    told = subprocess.run([sys.executable, "-c", CONSOLE], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False", "1"]


FREED = """
import re
from pathlib import Path
import duckdb
from moderation.storage.memory import give_back_now

def taken():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1000

with duckdb.connect(config={"threads": 2}) as connection:
    connection.execute("SELECT 1").fetchall()
    before = taken()
    for number in range(8):
        connection.execute("CREATE TABLE one AS SELECT i, i::VARCHAR AS told FROM range(2_000_000) AS t(i)")
        connection.execute("DROP TABLE one")
    give_back_now()
    print(taken() - before)
"""


def test_what_an_open_connection_has_freed_is_given_back():
    told = subprocess.run([sys.executable, "-c", FREED], capture_output=True, text=True, check=True)
    assert float(told.stdout) < 40
