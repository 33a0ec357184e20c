"""The handbook's encoder: a text to a vector whose direction is its meaning."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True)
class Reading:
    """What the encoder makes of a text of T tokens, its start and its end among them.

    Attributes:
        vector: of the whole text, [E], its length one.
        ids: the tokens, [T].
        states: of each token, [T, E].
    """

    vector: NDArray[np.float32]
    ids: tuple[int, ...]
    states: NDArray[np.float32]


class TextEncoder(Protocol):
    """Texts to vectors of length one, so that a product of two is the cosine of their angle."""

    def encode(self, text: str) -> NDArray[np.float32]:
        """Return the vector of a text, [E]."""


class OnnxTextEncoder:
    """A BERT encoder as ``training handbook`` exports it.

    The graph takes ``input_ids`` int64 [1, S] and returns ``vector`` float [1, E], and newer
    ones ``states`` float [1, S, E].
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

    @property
    def reads_tokens(self) -> bool:
        """Whether the graph tells the states of single tokens."""
        return "states" in {output.name for output in self._session.get_outputs()}

    def encode(self, text: str) -> NDArray[np.float32]:
        """Return the vector of a text, [E]; raises ModelError."""
        (vector,) = self._run(["vector"], text_ids(self.tokenizer, text, self.max_tokens))
        return np.asarray(vector[0], np.float32)

    def read(self, text: str) -> Reading:
        """Return a text's vector and its tokens' states; raises ModelError."""
        ids = text_ids(self.tokenizer, text, self.max_tokens)
        vector, states = self._run(["vector", "states"], ids)
        return Reading(vector[0], tuple(ids), states[0])

    def count(self, text: str) -> int:
        """Return the number of a text's tokens, without start and end."""
        return len(self.tokenizer.encode(text))

    def _run(self, outputs: list[str], ids: list[int]) -> list[NDArray[np.float32]]:
        try:
            found = self._session.run(outputs, {"input_ids": np.array([ids], np.int64)})
        except Exception as error:
            reason = str(error).splitlines()[0][:200]
            raise ModelError(f"The handbook's encoder failed ({reason})") from error
        return [np.asarray(output, np.float32) for output in found]
