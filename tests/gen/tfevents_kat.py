# SPDX-License-Identifier: MIT
"""Prints tests/kat/tfevents.txt: the records that TensorBoard's own writer (package tensorboard 2.21) makes of scalars.

    python3 tests/gen/tfevents_kat.py > tests/kat/tfevents.txt
"""
import io
import struct

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

CASES = [
    (1700000000.25, 1, "loss", 0.5),
    (1700000000.25, 127, "loss", 0.0),
    (1700000000.25, 128, "loss", -1.5),
    (0.001, 300, "bits_per_byte/train", 2.625),
    (4e9, 2**40 + 1, "x", float("inf")),
    (1.0, -1, "nan", float("nan")),
    (1.0, 2**63 - 1, "0123456789abcdef" * 4, 1e-45),
]

print("# seconds, step, tag, bits of the value, record; made by tests/gen/tfevents_kat.py")
for seconds, step, tag, value in CASES:
    event = Event(wall_time=seconds, step=step, summary=Summary(value=[Summary.Value(tag=tag, simple_value=value)]))
    record = io.BytesIO()
    RecordWriter(record).write(event.SerializeToString())
    print(seconds, step, tag, struct.pack(">f", value).hex(), record.getvalue().hex())
