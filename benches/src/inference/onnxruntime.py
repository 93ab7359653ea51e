"""What ONNX Runtime takes for a batch on one thread: CPU milliseconds, one JSON object a shape.

Called as `onnxruntime.py MODEL SECONDS BATCHxLENGTH…`.
"""

import json
import sys
import time

import numpy
import onnxruntime

path, seconds, shapes = sys.argv[1], float(sys.argv[2]), sys.argv[3:]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

for shape in shapes:
    batch, length = map(int, shape.split("x"))
    # The same tokens as ours: what they mean does not matter, only that they are words of the model.
    ids = numpy.array([[1000 + (row * 31 + at * 7) % 20000 for at in range(length)] for row in range(batch)])
    feed = {
        "input_ids": ids.astype(numpy.int64),
        "attention_mask": numpy.ones((batch, length), numpy.int64),
        "token_type_ids": numpy.zeros((batch, length), numpy.int64),
    }
    session.run(None, feed)
    done, began, until = 0, time.process_time(), time.monotonic() + seconds
    while time.monotonic() < until:
        session.run(None, feed)
        done += 1
    print(json.dumps({"shape": shape, "cpu_ms": (time.process_time() - began) * 1000 / done}))
