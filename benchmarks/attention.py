"""What the attention operator of a layer costs, by how keys and values are kept.

    python -m benchmarks.attention [--contexts 50 500 1000] [--new 1] [--threads 2]

Ten operators of the shipped model's shape with caches of their own; microseconds of one, the
fastest quarter of the runs. "rows": the three query heads that share a key head as three tokens
with one query head each (no right answer, but the work of one). ORT_GQA_DISABLE_FLASH_ATTENTION=1
in the environment turns onnxruntime's tiled kernels off.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from training.exporting.graph import CONTRIB

HEADS, KV_HEADS, HEAD_DIM = 9, 3, 64
CONTEXT_LENGTH, COPIES, RUNS = 2048, 10, 60


@dataclass(frozen=True)
class Layout:
    """Query heads, new tokens for each real one, and whether the cache is 8 bit."""

    heads: int = HEADS
    rows: int = 1
    integer: bool = False


LAYOUTS = {
    "float32": Layout(),
    "8 bit a channel": Layout(integer=True),
    "rows": Layout(heads=KV_HEADS, rows=HEADS // KV_HEADS),
}


def microseconds(layout: Layout, context: int, new: int, threads: int) -> float:
    """Return what one operator takes that appends ``new`` tokens at a context."""
    tokens = new * layout.rows
    width = (layout.heads + 2 * KV_HEADS) * HEAD_DIM
    kind = TensorProto.INT8 if layout.integer else TensorProto.FLOAT
    cache_shape = [1, KV_HEADS, CONTEXT_LENGTH, HEAD_DIM]
    random = np.random.default_rng(0)
    constants = {
        name: random.standard_normal((CONTEXT_LENGTH, HEAD_DIM // 2), dtype=np.float32)
        for name in ("cos", "sin")
    }
    options: dict[str, object] = {}
    scales: list[str] = []
    if layout.integer:
        constants["scale"] = np.full((1, KV_HEADS, 1, HEAD_DIM), 0.05, np.float32)
        options = {f"{part}_quant_type": "PER_CHANNEL" for part in "kv"}
        options["kv_cache_bit_width"] = 8
        scales = ["", "", "", "scale", "scale"]
    inputs = {
        "x": random.standard_normal((1, tokens, width), dtype=np.float32),
        "seqlens_k": np.array([context + tokens - 1], np.int32),
        "total": np.array(context + tokens, np.int32),
    }
    declared = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
        )
        for name, value in inputs.items()
    ]
    nodes, outputs = [], []
    for copy in range(COPIES):
        names = [f"past_key.{copy}", f"past_value.{copy}"]
        present = [name.replace("past", "present") for name in names]
        declared += [helper.make_tensor_value_info(name, kind, cache_shape) for name in names]
        outputs += [helper.make_tensor_value_info(name, kind, cache_shape) for name in present]
        read = ["x", "", "", *names, "seqlens_k", "total", "cos", "sin", *scales]
        node = helper.make_node(
            "GroupQueryAttention", read, [f"y.{copy}", *present], domain=CONTRIB
        )
        options |= {"num_heads": layout.heads, "kv_num_heads": KV_HEADS, "do_rotary": 1}
        node.attribute.extend(helper.make_attribute(*option) for option in options.items())
        nodes.append(node)
    nodes.append(helper.make_node("Sum", [f"y.{copy}" for copy in range(COPIES)], ["y"]))
    outputs.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, None))
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "attention", declared, outputs, tensors)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(CONTRIB, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), settings, providers=["CPUExecutionProvider"]
    )
    binding = session.io_binding()
    values = {name: onnxruntime.OrtValue.ortvalue_from_numpy(a) for name, a in inputs.items()}
    caches = []
    for name in (value.name for value in declared[len(inputs) :]):
        drawn = 20 * random.standard_normal(cache_shape, dtype=np.float32)
        caches.append(drawn.astype(np.int8) if layout.integer else drawn / 20)
        values[name] = onnxruntime.OrtValue.ortvalue_from_numpy(caches[-1])
        binding.bind_ortvalue_output(name.replace("past", "present"), values[name])
    for name, value in values.items():
        binding.bind_ortvalue_input(name, value)
    binding.bind_output("y")
    times = []
    for _ in range(RUNS if new == 1 else RUNS // 6):
        start = time.perf_counter()
        session.run_with_iobinding(binding)
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 4] / COPIES * 1e6


def main() -> None:
    """Print a row for each layout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contexts", type=int, nargs="+", default=[50, 500, 1000])
    parser.add_argument("--new", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    print(f"{'microseconds':16}" + "".join(f"{f'@{c}':>8}" for c in arguments.contexts))
    for name, layout in LAYOUTS.items():
        found = (
            microseconds(layout, context, arguments.new, arguments.threads)
            for context in arguments.contexts
        )
        print(f"{name:16}" + "".join(f"{value:8.0f}" for value in found), flush=True)


if __name__ == "__main__":
    main()
