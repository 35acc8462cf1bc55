"""Writes the small Parquet tables of test/25.table-reader.test.ts and test/47.squad.test.ts; needs pyarrow.

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

# SQuAD as Hugging Face's copies have it: rows, with answers as a struct of lists.
context = "Caf\u00e9 \U0001f600 of the city. The man rode a horse."
answers = [{"text": ["The man", "man"], "answer_start": [context.index("The man"), context.index("man")]}, {"text": [], "answer_start": []}]
fields = pa.struct([("text", pa.list_(pa.string())), ("answer_start", pa.list_(pa.int32()))])
squad = {
    "id": ["who", "none"],
    "title": ["City", "City"],
    "context": [context, context],
    "question": ["Who rode?", "Who swam?"],
    "answers": pa.array(answers, fields),
}
pq.write_table(pa.table(squad), FOLDER / "squad.parquet")
