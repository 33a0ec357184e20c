"""Opening a bundle's graph in onnxruntime."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assistant.bundle import Bundle, damaged_files
from assistant.engine.threads import available_cores
from assistant.errors import ModelError

if TYPE_CHECKING:
    import onnxruntime


def open_session(bundle: Bundle, threads: int | None = None) -> onnxruntime.InferenceSession:
    """Verify the bundle's hashes and open its graph on the CPU.

    Raises:
        ModelError: a file is damaged, or onnxruntime cannot load the graph.
    """
    damaged = damaged_files(bundle)
    if damaged:
        raise ModelError(
            f"The model {bundle.name} is damaged: {', '.join(damaged)} in {bundle.directory}",
            f"Restore it, e.g. `git checkout -- {bundle.directory}`",
        )
    import onnxruntime

    # Windows builds have a switch of their own (elsewhere: assistant/__init__.py)
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or available_cores()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(
            str(bundle.graph_path), options, providers=["CPUExecutionProvider"]
        )
    except MemoryError as error:
        raise ModelError(
            f"Not enough memory to load the model {bundle.name}",
            f"It needs about {2 * bundle.size_bytes // 10**6} MB; close other programs",
        ) from error
    except Exception as error:  # onnxruntime raises a family of its own without a common base
        reason = str(error).splitlines()[0][:200]
        raise ModelError(
            f"The model {bundle.name} cannot be loaded ({reason})",
            "`assistant models verify` checks it; updating onnxruntime may help",
        ) from error
