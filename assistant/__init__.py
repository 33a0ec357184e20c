"""The assistant: what people use."""

import os

# onnxruntime's official builds report usage to their maker unless told otherwise before they
# are first imported (https://github.com/microsoft/onnxruntime/pull/27379). Nothing of ours may
# send anything, so this stands before every import of it, plugins' and training's included.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__version__ = "0.1.0"
