"""Tokens in, tokens out: onnxruntime on the CPU. Knows nothing of conversations."""
