"""A classification bundle: texts in, calibrated probabilities out."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from assistant.bundle import Bundle, find_bundle
from assistant.engine.runtime import open_session
from assistant.engine.threads import available_cores
from assistant.engine.windows import (
    CLEAR,
    GLANCED_CLEAR,
    GLANCED_CONVICTED,
    READING,
    SUSPICIOUS,
    Encoder,
    Windows,
    by_text,
    discount_later,
)
from assistant.errors import ModelError
from assistant.plugin_api import Score

# At most this many tokens a batch, padding included: one full window, or some short ones. What a
# layer computes then fits a core's cache, and there are enough batches for every core.
BATCH_TOKENS = 256
# What a graph gives of a text besides its logits, the best first; older bundles have none.
EMBEDDINGS = ("features", "embedding")


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


class _Remembering:
    """A tokenizer that reads each text once: the same ids are cut in several ways."""

    def __init__(self, tokenizer: Encoder) -> None:
        self._ids: dict[str, list[int]] = {}
        self._tokenizer = tokenizer

    def encode(self, text: str) -> list[int]:
        if text not in self._ids:
            self._ids[text] = self._tokenizer.encode(text)
        return self._ids[text]

    def special(self, name: str) -> int:
        return self._tokenizer.special(name)


@dataclass
class _Glance:
    """What a glance at a text told.

    Attributes:
        tokens: ids read, those of skimmed passages too.
        probability: of the glance.
        decides: it leaves no doubt.
        suspicious: a skimmed passage is.
    """

    tokens: int
    probability: float = 0.0
    decides: bool = False
    suspicious: bool = False


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
            self.windows = Windows.of(facts["windows"])
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
        shapes = {output.name: output.shape for output in self._session.get_outputs()}
        name = next((name for name in EMBEDDINGS if name in shapes), "")
        self._embedding = (name, int(shapes[name][-1]) if name else 0)
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
    def scoring(self) -> str:
        """Sixteen hex digits over revision, calibration, thresholds, windows and what is read."""
        facts = json.dumps(self.bundle.classification, sort_keys=True)
        return hashlib.sha256(f"{self.revision} {READING} {facts}".encode()).hexdigest()[:16]

    @property
    def embedding_width(self) -> int:
        """Width D of an embedding; 0 when the bundle was exported without them."""
        return self._embedding[1]

    def margins(self, windows: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """Return logit(positive) - logit(other) of each window, uncalibrated."""
        return self._read(windows, 0)[0]

    def score(self, texts: Sequence[str]) -> list[Score]:
        """Return a calibrated score for each text; the worst window counts.

        Where the first one reaches the bundle's threshold the others are not read: they could
        change no verdict, and reading them takes long. Where it is clearly below, some passages
        are skimmed, and the others are read only if one of these is suspicious.
        """
        return self._score(texts, 0, _Remembering(self.tokenizer))

    def score_quickly(self, texts: Sequence[str]) -> list[Score]:
        """Return a score for each text, by a glance where that leaves no doubt.

        A glance is eighty ids of a text's beginning, middle and end. Where it clearly convicts,
        or is clear and so are some passages that are skimmed of a long text, its probability is
        the text's; else the text is read as ``score`` does.
        """
        tokenizer = _Remembering(self.tokenizer)
        glances = self._glances(texts, tokenizer)
        doubtful = [t for t, glance in zip(texts, glances, strict=True) if not glance.decides]
        suspicious = [glance.suspicious for glance in glances if not glance.decides]
        read = iter(self._score(doubtful, 0, tokenizer, suspicious))
        return [
            Score(glance.probability, (glance.probability,), glance.tokens)
            if glance.decides
            else _with_more(next(read), glance.tokens)
            for glance in glances
        ]

    def embed(self, texts: Sequence[str]) -> list[Score]:
        """Return scores with the embedding, float32 [D], of the window that decided each.

        Raises:
            ModelError: the bundle was exported without embeddings.
        """
        width = self.embedding_width
        if not width:
            raise ModelError(
                f"The model {self.name} computes no embeddings",
                "It was exported by an older version: export it again, or restore models/",
            )
        return self._score(texts, width, _Remembering(self.tokenizer))

    def _glances(self, texts: Sequence[str], tokenizer: Encoder) -> list[_Glance]:
        windows = [self.windows.glance(text, tokenizer) for text in texts]
        glances = [_Glance(tokens=len(window)) for window in windows]
        worth = [glance for glance in glances if glance.tokens]
        margins, _ = self._read([window for window in windows if window], 0)
        rest = (1 - self._threshold) * np.exp(-GLANCED_CONVICTED)
        convicted = self._threshold / (self._threshold + rest)
        for glance, probability in zip(worth, self._probability(margins).tolist(), strict=True):
            glance.probability = probability
            glance.decides = probability >= convicted or probability < GLANCED_CLEAR
        clear = [i for i, g in enumerate(glances) if g.tokens and g.probability < GLANCED_CLEAR]
        passages = [self.windows.skim_after_glance(texts[index], tokenizer) for index in clear]
        for index, (suspicious, more) in zip(clear, self._suspicious(passages), strict=True):
            glances[index].suspicious = suspicious
            glances[index].decides = not suspicious
            glances[index].tokens += more
        return glances

    def _score(
        self,
        texts: Sequence[str],
        width: int,
        tokenizer: Encoder,
        suspicious: Sequence[bool] | None = None,
    ) -> list[Score]:
        """Score texts; of those known to be ``suspicious`` all is read."""
        known = np.array(suspicious if suspicious is not None else [False] * len(texts), bool)
        cut = [self.windows.cut(text, tokenizer) for text in texts]
        first = self._read([windows[0] for windows in cut], width)
        probability = self._probability(first[0])
        read_on = np.array([len(windows) > 1 for windows in cut], bool)
        read_on &= probability < self._threshold
        clear = np.flatnonzero(read_on & ~known & (probability < CLEAR)).tolist()
        skimmed = self._suspicious([self.windows.skim(texts[i], tokenizer) for i in clear])
        read_on[clear] = [found for found, _ in skimmed]
        skimmed_tokens = np.zeros(len(texts), int)
        skimmed_tokens[clear] = [tokens for _, tokens in skimmed]
        unread = [
            w for windows, more in zip(cut, read_on, strict=True) if more for w in windows[1:]
        ]
        later = self._read(unread, width)
        scores: list[Score] = []
        start = 0
        for index, windows in enumerate(cut):
            margins, vectors = first[0][index : index + 1], first[1][index : index + 1]
            if read_on[index]:
                stop = start + len(windows) - 1
                margins = np.concatenate([margins, later[0][start:stop]])
                vectors = np.concatenate([vectors, later[1][start:stop]])
                start = stop
            own = discount_later(margins, self.windows.later_penalty)
            found = tuple(self._probability(own).tolist())
            tokens = sum(len(window) for window in windows[: len(found)])
            tokens += int(skimmed_tokens[index])
            vector = vectors[int(own.argmax())].copy() if width else None
            scores.append(Score(max(found), found, tokens, vector))
        return scores

    def _suspicious(self, passages: Sequence[list[list[int]]]) -> list[tuple[bool, int]]:
        """Return of each text's passages whether one is suspicious, and the tokens read."""
        margins, _ = self._read([window for some in passages for window in some], 0)
        found = by_text(margins - self.windows.later_penalty, passages) if passages else []
        return [
            (bool((self._probability(own) >= SUSPICIOUS).any()), sum(map(len, some)))
            for own, some in zip(found, passages, strict=True)
        ]

    def _probability(self, margins: NDArray[np.float64]) -> NDArray[np.float64]:
        return 1 / (1 + np.exp(-(margins / self._temperature + self._bias)))

    def _read(
        self, windows: Sequence[Sequence[int]], width: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Return each window's margin [N] and embedding [N, width]; width is 0 for none."""
        margins = np.zeros(len(windows))
        vectors = np.zeros((len(windows), width), np.float32)
        batches = similar_lengths([len(window) for window in windows], BATCH_TOKENS)
        run = partial(self._run, windows=windows, margins=margins, vectors=vectors)
        if len(batches) == 1:
            run(batches[0])
        else:
            deque(self._pool.map(run, batches), maxlen=0)  # raises what a batch raised
        return margins, vectors

    def _run(
        self,
        batch: list[int],
        windows: Sequence[Sequence[int]],
        margins: NDArray[np.float64],
        vectors: NDArray[np.float32],
    ) -> None:
        lengths = np.array([len(windows[index]) for index in batch], np.int64)
        ids = np.zeros((len(batch), lengths.max()), np.int64)
        for row, index in enumerate(batch):
            ids[row, : lengths[row]] = windows[index]
        wanted = ["logits", self._embedding[0]] if vectors.shape[1] else ["logits"]
        try:
            logits, *more = self._session.run(wanted, {"input_ids": ids, "lengths": lengths})
        except Exception as error:  # onnxruntime has no common base class
            reason = str(error).splitlines()[0][:200]
            raise ModelError(f"The model {self.name} failed ({reason})", "Try again") from error
        margin = logits[:, self._positive] - logits[:, 1 - self._positive]
        if not np.isfinite(margin).all():
            raise ModelError(f"The model {self.name} computed scores that are no numbers")
        margins[batch] = margin
        if more:
            vectors[batch] = more[0]


def _with_more(score: Score, tokens: int) -> Score:
    return replace(score, tokens=score.tokens + tokens)


@cache
def _loaded(directory: str) -> OnnxClassifier:
    return OnnxClassifier(find_bundle(directory, "classification"))


def load_classifier(name: str) -> OnnxClassifier:
    """Return the classifier of a bundle given by name or path, loaded once per process.

    Raises:
        ModelError: missing, damaged, newer than this program, or no classifier.
    """
    return _loaded(str(find_bundle(name, "classification").directory))
