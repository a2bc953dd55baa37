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
