"""Writes the small Parquet tables of test/25.table-reader.test.ts; needs pyarrow.

    python test/golden/make_parquet.py
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

FOLDER = Path(__file__).parent

rows = 300
table = pa.table(
    {
        "text": [None if i == 7 else f"row {i}: caf\u00e9 \u4e2d \U0001f600 \"quoted\"" for i in range(rows)],
        "label": pa.array([i % 3 for i in range(rows)], pa.int64()),
        "small": pa.array([i % 3 for i in range(rows)], pa.int32()),
        "score": pa.array([i / 4 for i in range(rows)], pa.float64()),
        "good": [i % 2 == 0 for i in range(rows)],
        "tokens": [[f"t{j}" for j in range(i % 4)] for i in range(rows)],
    }
)
for codec in ["snappy", "gzip", "brotli", "zstd", "none"]:
    pq.write_table(table, FOLDER / f"table-{codec}.parquet", compression=codec, row_group_size=128)

invalid = pa.array([b"fine", b"\xff\xfe broken", b"fine too"], pa.binary())
pq.write_table(pa.table({"text": invalid, "label": [0, 1, 0]}), FOLDER / "table-invalid-utf8.parquet")
