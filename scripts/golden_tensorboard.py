"""Makes crates/tensorboard/tests/golden/events.tfevents with TensorBoard's own messages (tensorboard 2.21.0).

    python scripts/golden_tensorboard.py
"""

import io
import pathlib

import numpy as np
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2
from tensorboard.summary.writer.record_writer import RecordWriter

OUT = pathlib.Path(__file__).parent.parent / "crates/tensorboard/tests/golden/events.tfevents"


def histogram(values):
    """The buckets of `Histogram::of`, in its order of operations."""
    values = values.astype(np.float64)
    low, high = values.min(), values.max()
    count = 30 if high > low else 1
    width = (high - low) / count
    places = np.minimum(((values - low) / width).astype(int), count - 1) if high > low else np.zeros(len(values), int)
    total = squares = 0.0
    for value in values:
        total += value
        squares += value * value
    return summary_pb2.HistogramProto(
        min=low,
        max=high,
        num=len(values),
        sum=total,
        sum_squares=squares,
        bucket_limit=[low + width * (i + 1) for i in range(count - 1)] + [high],
        bucket=np.bincount(places, minlength=count).astype(np.float64),
    )


def event(wall_time, step, *values):
    return event_pb2.Event(wall_time=wall_time, step=step, summary=summary_pb2.Summary(value=values))


Value = summary_pb2.Summary.Value
shape = tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=1)])
text = tensor_pb2.TensorProto(dtype=7, tensor_shape=shape, string_val=["# größer\n\n`lr` = 0.1".encode()])
metadata = summary_pb2.SummaryMetadata(plugin_data=summary_pb2.SummaryMetadata.PluginData(plugin_name="text"))
picture = summary_pb2.Summary.Image(height=200, width=3, colorspace=3, encoded_image_string=b"no real picture")
integers = np.arange(50)
values = (integers * integers % 256).astype(np.float32) / np.float32(64) - np.float32(3)

buffer = io.BytesIO()
writer = RecordWriter(buffer)
for message in [
    event_pb2.Event(file_version="brain.Event:2"),
    event(0.0, 0, Value(tag="recipe", tensor=text, metadata=metadata)),
    event(0.0, 0, Value(tag="pictures/0", image=picture)),
    event(1.5, 1, Value(tag="loss/train", simple_value=0.1), Value(tag="lr", simple_value=0.0)),
    event(1.5, 1, Value(tag="conv.weight", histo=histogram(values))),
    event(1e9 + 0.25, 300, Value(tag="loss/train", simple_value=-1e-30)),
    event(1e9 + 0.25, 300, Value(tag="b", histo=histogram(np.zeros(1, np.float32)))),
]:
    writer.write(message.SerializeToString(deterministic=True))
OUT.parent.mkdir(parents=True, exist_ok=True)
OUT.write_bytes(buffer.getvalue())
