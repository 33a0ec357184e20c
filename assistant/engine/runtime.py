"""Opening a bundle's graph in onnxruntime."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from assistant.bundle import Bundle, damaged_files
from assistant.engine.threads import available_cores
from assistant.errors import ModelError

if TYPE_CHECKING:
    import onnxruntime


def open_session(bundle: Bundle, threads: int | None = None) -> onnxruntime.InferenceSession:
    """Verify the bundle's hashes and open its graph on the CPU, both at once.

    Raises:
        ModelError: a file is damaged, there is too little memory, or onnxruntime cannot load the
            graph.
    """
    with ThreadPoolExecutor(1) as pool:
        verified = pool.submit(damaged_files, bundle)
        try:
            session = _open(bundle, threads)
        except ModelError:
            if not verified.result():  # damage explains the failure better
                raise
        damaged = verified.result()
    if damaged:
        raise ModelError(
            f"The model {bundle.name} is damaged: {', '.join(damaged)} in {bundle.directory}",
            f"Restore it, e.g. `git checkout -- {bundle.directory}`",
        )
    return session


def not_enough_memory(bundle: Bundle) -> ModelError:
    """Return the error of a model that does not fit into memory."""
    return ModelError(
        f"Not enough memory to load the model {bundle.name}",
        f"It needs about {3 * bundle.size_bytes // 10**6} MB; close other programs",
    )


def _open(bundle: Bundle, threads: int | None) -> onnxruntime.InferenceSession:
    import onnxruntime

    # Windows builds have a switch of their own (elsewhere: assistant/__init__.py)
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or available_cores()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Matrices stored in 8 bits behind a DequantizeLinear are unpacked once, now.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    try:
        # resolved: data files must lie beside the graph, also when all of them are links
        return onnxruntime.InferenceSession(
            str(bundle.graph_path.resolve()), options, providers=["CPUExecutionProvider"]
        )
    except MemoryError as error:
        raise not_enough_memory(bundle) from error
    except Exception as error:  # onnxruntime raises a family of its own without a common base
        reason = str(error).splitlines()[0][:200]
        if "alloc" in reason.lower() or "memory" in reason.lower():
            raise not_enough_memory(bundle) from error
        raise ModelError(
            f"The model {bundle.name} cannot be loaded ({reason})",
            "`assistant models verify` checks it; updating onnxruntime may help",
        ) from error
