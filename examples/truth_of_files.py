"""A table of file names and labels becomes a file for ``moderation verdicts import``.

::

    python examples/truth_of_files.py truth.csv var/warehouse.duckdb verdicts.csv
    moderation verdicts import verdicts.csv --reviewer ana

``truth.csv`` has the columns ``file`` and ``label``; a label that is empty says that there is nothing, and a
file that shows several labels has a line for each. Every image of the warehouse with such a file name gets a
line; what stands in the table and was never moderated is left out.
"""

from __future__ import annotations

import sys

import duckdb

LINES = """
COPY (
    SELECT images.source_ref, coalesce(string_agg(DISTINCT truth.label, '|'), '') AS labels
    FROM warehouse.images JOIN read_csv(getvariable('truth'), all_varchar = true) AS truth
        ON truth.file = parse_filename(images.source_ref)
    WHERE images.status = 'moderated'
    GROUP BY images.source_ref ORDER BY images.source_ref
) TO '{target}' (HEADER)
"""


def main(truth: str, warehouse: str, target: str) -> None:
    """Read both, write the lines, tell how many there are."""
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{quoted(warehouse)}' AS warehouse (READ_ONLY)")
        connection.execute("SET VARIABLE truth = $truth", {"truth": truth})
        (number,) = connection.execute(LINES.format(target=quoted(target))).fetchone() or (0,)
    print(f"{number} images")


def quoted(path: str) -> str:
    """A path within a text of SQL."""
    return path.replace("'", "''")


if __name__ == "__main__":
    main(*sys.argv[1:])
