"""Run by Daft's own Python: reads a published table from S3, writes it to standard output as an Arrow stream.

On standard input: JSON with ``tables_uri``, ``endpoint_url``, ``access_key``, ``secret_key``, ``table``.
"""

from __future__ import annotations

import json
import sys

import daft
import pyarrow as pa
from daft.io import IOConfig, S3Config


def main() -> None:
    asked = json.load(sys.stdin)
    config = IOConfig(
        s3=S3Config(
            endpoint_url=asked["endpoint_url"],
            key_id=asked["access_key"],
            access_key=asked["secret_key"],
            region_name="us-east-1",
            use_ssl=False,
        )
    )

    def read(table: str) -> daft.DataFrame:
        return daft.read_parquet(f"{asked['tables_uri']}/{table}/**/*.parquet", io_config=config)

    known = read("loads").select("load_id")
    rows = read(asked["table"]).join(known, on="load_id", how="semi").to_arrow()
    with pa.ipc.new_stream(sys.stdout.buffer, rows.schema) as stream:
        stream.write_table(rows)


if __name__ == "__main__":
    main()
