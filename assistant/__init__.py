"""The assistant: what people use."""

__version__ = "0.1.0"
