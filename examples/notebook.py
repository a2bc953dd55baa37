"""The moderation results in pandas: run it, or paste a cell into a notebook.

Needs the DuckDB file that a run leaves behind (`MODERATION_WAREHOUSE`, var/warehouse.duckdb) and no server.
"""

# %% One import; each call gives a pandas DataFrame.
from moderation import notebook

# %% What is there: the tables, and the ready queries with what each answers.
print(notebook.contents())

# %% A ready query by name …
rates = notebook.query("flag_rate_by_day_and_l1")
print(rates.pivot_table(index="dt", columns="l1", values="flagged_percent").tail(14))

# %% … a whole table …
labels = notebook.query("labels")
print(labels.groupby(["l1", "l2"], dropna=False)["confidence"].describe())

# %% … or SQL, with values in place of question marks.
sure = notebook.query(
    "select source_ref, l2, confidence from labels_l2 where l1 = ? and confidence >= ? order by 3 desc",
    ["Violence", 90],
)
print(sure.head(20))
