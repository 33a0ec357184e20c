"""The tiny models that these tests share."""

from tests.training.tiny_models import (
    classifier,
    foundation,
    tokenizer,
    transformer,
    write_rows,
)

__all__ = ["classifier", "foundation", "tokenizer", "transformer", "write_rows"]
