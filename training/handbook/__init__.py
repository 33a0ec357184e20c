"""The handbook of a chat bundle: entries, their vectors, and the encoder as an ONNX graph."""
