"""The handbook's encoder: a text to a vector whose direction is its meaning."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from assistant.errors import ModelError
from assistant.tokenizer import END_OF_TEXT, Tokenizer

if TYPE_CHECKING:
    from numpy.typing import NDArray


START = "[CLS]"


def text_ids(tokenizer: Tokenizer, text: str, max_tokens: int) -> list[int]:
    """Return the ids of a text as the encoder reads it: between its start and its end token.

    The rest of a longer text is cut.
    """
    # A word is one token at least and rarely 100 characters: what is cut here cannot matter.
    ids = tokenizer.encode(text[: 100 * max_tokens])[: max_tokens - 2]
    start = tokenizer.ranks[START.encode()]
    return [start, *ids, tokenizer.special(END_OF_TEXT)]


class TextEncoder(Protocol):
    """Texts to vectors of length one, so that a product of two is the cosine of their angle."""

    def encode(self, text: str) -> NDArray[np.float32]:
        """Return the vector of a text, [E]."""


class OnnxTextEncoder:
    """A BERT encoder as ``training handbook`` exports it.

    The graph takes ``input_ids`` int64 [1, S] and returns ``vector`` float [1, E].
    """

    def __init__(
        self, graph: Path, tokenizer: Tokenizer, max_tokens: int, threads: int = 1
    ) -> None:
        """Open the graph; raises ModelError. More than one thread pays for long texts only."""
        import onnxruntime

        onnxruntime.disable_telemetry_events()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self.tokenizer, self.max_tokens = tokenizer, max_tokens
        try:
            self._session = onnxruntime.InferenceSession(
                str(graph), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises a family without a common base
            reason = str(error).splitlines()[0][:200]
            raise ModelError(f"The handbook's encoder cannot be loaded ({reason})") from error

    def encode(self, text: str) -> NDArray[np.float32]:
        """Return the vector of a text, [E]; raises ModelError."""
        ids = np.array([text_ids(self.tokenizer, text, self.max_tokens)], np.int64)
        try:
            (vector,) = self._session.run(["vector"], {"input_ids": ids})
        except Exception as error:
            reason = str(error).splitlines()[0][:200]
            raise ModelError(f"The handbook's encoder failed ({reason})") from error
        return np.asarray(vector[0], np.float32)
