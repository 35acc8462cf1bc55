"""Event records as TensorBoard itself writes them: writes tensorboard.json beside this script.

Needs the `tensorboard` package. `python tensorboard.py read FOLDER` prints what TensorBoard reads from a folder of event
files as JSON: {tag: [[step, value], …]}.
"""

import json
import math
import sys
from pathlib import Path

# This script's own name must not hide the package.
sys.path = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(__file__).resolve().parent]

import tensorboard.version  # noqa: E402
from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # noqa: E402
from tensorboard.compat.proto.summary_pb2 import Summary  # noqa: E402
from tensorboard.summary.writer.record_writer import RecordWriter, masked_crc32c  # noqa: E402


class Sink:
    def __init__(self):
        self.data = b""

    def write(self, data):
        self.data += data


def record(event):
    sink = Sink()
    RecordWriter(sink).write(event.SerializeToString())
    return sink.data.hex()


def write_golden():
    def scalars(step, wall_time, values):
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
        # JSON has no NaN: null stands for it.
        shown = {tag: None if math.isnan(value) else value for tag, value in values.items()}
        given = {"wallTime": wall_time, "step": step, "scalars": shown}
        return {"event": given, "hex": record(Event(wall_time=wall_time, step=step, summary=summary))}

    version = Event(wall_time=1.7e9, file_version="brain.Event:2")
    restart = Event(wall_time=1.7e9 + 0.25, step=301, session_log=SessionLog(status=SessionLog.START))
    cases = [
        {"event": {"wallTime": 1.7e9, "fileVersion": "brain.Event:2"}, "hex": record(version)},
        {"event": {"wallTime": 1.7e9 + 0.25, "step": 301, "restart": True}, "hex": record(restart)},
        scalars(1, 1700000001.5, {"train/loss": 6.25}),
        scalars(0, 1700000001.5, {"train/loss": 0.0, "train/learningRate": 1e-4}),
        scalars(2**40 + 77, 1700000003.125, {"évaluation/mlm/loss": float("nan"), "x" * 200: -3.5}),
    ]
    crcs = [{"text": text, "masked": masked_crc32c(text.encode())} for text in ("", "a", "123456789", "x" * 1000)]
    result = {"versions": {"tensorboard": tensorboard.version.VERSION}, "cases": cases, "crcs": crcs}
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")


def read(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(folder, size_guidance={"scalars": 0})
    events.Reload()
    tags = events.Tags()["scalars"]
    print(json.dumps({tag: [[item.step, item.value] for item in events.Scalars(tag)] for tag in tags}))


read(sys.argv[2]) if sys.argv[1:2] == ["read"] else write_golden()
