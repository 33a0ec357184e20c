"""A classification bundle: texts in, calibrated probabilities out."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from assistant.bundle import Bundle, find_bundle
from assistant.engine.runtime import open_session
from assistant.engine.threads import available_cores
from assistant.errors import ModelError
from assistant.plugin_api import Score
from assistant.tokenizer import END_OF_TEXT, Tokenizer

# At most this many tokens a batch, padding included: one full window, or some short ones. What a
# layer computes then fits a core's cache, and there are enough batches for every core.
BATCH_TOKENS = 256
EMBEDDING = "embedding"  # name of the graph's second output; older bundles lack it


def encode_windows(
    text: str, tokenizer: Tokenizer, tokens: int, stride: int, head_share: float = 0.0
) -> list[list[int]]:
    """Cut a text into windows of at most ``tokens`` ids, each closed by END_OF_TEXT.

    The closing token is where a decoder is read: it has seen the whole window. An empty text
    is one window of that token alone. Training encodes with this same function.

    Args:
        stride: ids from the start of one window to that of the next.
        head_share: above 0, a text of several windows gets one more in front: this share of it
            the text's beginning, the rest its end, which is how training reads long texts.
    """
    end = tokenizer.special(END_OF_TEXT)
    ids = tokenizer.encode(text)
    room = tokens - 1
    starts = [0]
    while starts[-1] + room < len(ids):
        starts.append(starts[-1] + stride)
    # the last window ends with the text and is as long as the others: short tails say little
    starts[-1] = max(0, len(ids) - room) if len(starts) > 1 else 0
    windows = [[*ids[start : start + room], end] for start in starts]
    if head_share > 0 and len(windows) > 1:
        head = round(room * head_share)
        windows.insert(0, [*ids[:head], *ids[len(ids) - (room - head) :], end])
    return windows


def discount_later(margins: NDArray[np.float64], penalty: float) -> NDArray[np.float64]:
    """Return the margins of one text's windows, those after the first lowered by ``penalty``.

    A passage from the middle has no sender, no subject and no beginning: footers and quotes of
    good mail look worse than they are, so a later window needs more to convict.
    """
    return np.concatenate([margins[:1], margins[1:] - penalty])


def similar_lengths(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Group indices into batches of similar length, the longest first.

    Args:
        tokens: at most so many a batch when padded; a longer text is a batch of its own.
    """
    batches: list[list[int]] = []
    room = 0
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if not batches or len(batches[-1]) >= room:
            batches.append([])
            room = tokens // max(1, lengths[index])  # the first is the longest
        batches[-1].append(index)
    return batches


class OnnxClassifier:
    """Scores texts, several batches at the same time, each on one core; thread-safe."""

    def __init__(self, bundle: Bundle, threads: int | None = None) -> None:
        """Load tokenizer and weights.

        Args:
            threads: batches at a time; the physical cores by default.

        Raises:
            ModelError: the bundle is damaged or incomplete.
        """
        facts = bundle.classification
        try:
            labels = [str(label) for label in facts["labels"]]
            self._positive = labels.index(str(facts["positive"]))
            self._threshold = float(facts["threshold"])
            low, high = facts["unsure"]
            self._unsure = (float(low), float(high))
            self._temperature = float(facts["calibration"]["temperature"])
            self._bias = float(facts["calibration"]["bias"])
            self.window_tokens = int(facts["windows"]["tokens"])
            self.stride = int(facts["windows"]["stride"])
            self._later_penalty = float(facts["windows"].get("later_penalty", 0.0))
            self._head_share = float(facts["windows"].get("head_share", 0.0))
        except (KeyError, ValueError, TypeError) as error:
            raise ModelError(
                f"The model {bundle.name} lacks what a classifier needs ({error!r})",
                "Export it again",
            ) from error
        if len(labels) != 2:
            raise ModelError(f"The model {bundle.name} has {len(labels)} labels, expected 2")
        self.bundle = bundle
        self.tokenizer = bundle.tokenizer()
        # Cores that share a batch wait for each other after every product.
        self._session = open_session(bundle, threads=1)
        self._pool = ThreadPoolExecutor(threads or available_cores(), "classifier")

    @property
    def name(self) -> str:
        """Name of the bundle."""
        return self.bundle.name

    @property
    def threshold(self) -> float:
        """Probability from which the verdict is the positive label."""
        return self._threshold

    @property
    def unsure(self) -> tuple[float, float]:
        """Probabilities in [low, high) are "unsure"."""
        return self._unsure

    @property
    def revision(self) -> str:
        """Sixteen hex digits over the hashes of graph, weights and tokenizer."""
        named = sorted(self.bundle.files.items())
        parts = (f"{name} {value}" for name, value in named if not name.endswith(".md"))
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    @property
    def embedding_width(self) -> int:
        """Width D of an embedding; 0 when the bundle was exported without them."""
        outputs = {output.name: output.shape for output in self._session.get_outputs()}
        return int(outputs[EMBEDDING][-1]) if EMBEDDING in outputs else 0

    def margins(self, windows: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """Return logit(positive) - logit(other) of each window, uncalibrated."""
        return self._read(windows, None)

    def score(self, texts: Sequence[str]) -> list[Score]:
        """Return a calibrated score for each text; the worst window counts."""
        return self._score(texts, 0)

    def embed(self, texts: Sequence[str]) -> list[Score]:
        """Return scores with the embedding, float32 [D], of each text's worst window.

        Raises:
            ModelError: the bundle was exported without embeddings.
        """
        width = self.embedding_width
        if not width:
            raise ModelError(
                f"The model {self.name} computes no embeddings",
                "It was exported by an older version: export it again, or restore models/",
            )
        return self._score(texts, width)

    def _score(self, texts: Sequence[str], width: int) -> list[Score]:
        cut = [
            encode_windows(text, self.tokenizer, self.window_tokens, self.stride, self._head_share)
            for text in texts
        ]
        flat = [window for windows in cut for window in windows]
        vectors = np.zeros((len(flat), width), np.float32) if width else None
        margins = self._read(flat, vectors)
        scores: list[Score] = []
        start = 0
        for windows in cut:
            own = discount_later(margins[start : start + len(windows)], self._later_penalty)
            probabilities = 1 / (1 + np.exp(-(own / self._temperature + self._bias)))
            found = tuple(float(p) for p in probabilities)
            tokens = sum(len(window) for window in windows)
            vector = None if vectors is None else vectors[start + int(own.argmax())].copy()
            scores.append(Score(max(found), found, tokens, vector))
            start += len(windows)
        return scores

    def _read(
        self, windows: Sequence[Sequence[int]], vectors: NDArray[np.float32] | None
    ) -> NDArray[np.float64]:
        """Return the margin of each window; fill ``vectors`` [N, D] with their embeddings."""
        result = np.zeros(len(windows))
        batches = similar_lengths([len(window) for window in windows], BATCH_TOKENS)
        run = partial(self._run, windows=windows, result=result, vectors=vectors)
        if len(batches) == 1:
            run(batches[0])
        else:
            deque(self._pool.map(run, batches), maxlen=0)  # raises what a batch raised
        return result

    def _run(
        self,
        batch: list[int],
        windows: Sequence[Sequence[int]],
        result: NDArray[np.float64],
        vectors: NDArray[np.float32] | None,
    ) -> None:
        lengths = np.array([len(windows[index]) for index in batch], np.int64)
        ids = np.zeros((len(batch), lengths.max()), np.int64)
        for row, index in enumerate(batch):
            ids[row, : lengths[row]] = windows[index]
        wanted = ["logits"] if vectors is None else ["logits", EMBEDDING]
        try:
            logits, *more = self._session.run(wanted, {"input_ids": ids, "lengths": lengths})
        except Exception as error:  # onnxruntime has no common base class
            reason = str(error).splitlines()[0][:200]
            raise ModelError(f"The model {self.name} failed ({reason})", "Try again") from error
        margin = logits[:, self._positive] - logits[:, 1 - self._positive]
        if not np.isfinite(margin).all():
            raise ModelError(f"The model {self.name} computed scores that are no numbers")
        result[batch] = margin
        if vectors is not None:
            vectors[batch] = more[0]


@cache
def _loaded(directory: str) -> OnnxClassifier:
    return OnnxClassifier(find_bundle(directory, "classification"))


def load_classifier(name: str) -> OnnxClassifier:
    """Return the classifier of a bundle given by name or path, loaded once per process.

    Raises:
        ModelError: missing, damaged, newer than this program, or no classifier.
    """
    return _loaded(str(find_bundle(name, "classification").directory))
