"""A large paste: measured, recognised by the plugins' detectors, kept back until a choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from assistant.plugin_api import Analyzer, Detector
from assistant.text import byte_size, normalize_newlines, sanitize

MINIMUM_LINES = 5
MINIMUM_CHARACTERS = 400
OFFERED_FROM = 0.5  # confidence, see plugin_api.Detector


@dataclass(frozen=True)
class PastedText:
    """A paste that waits above the composer.

    Attributes:
        raw: as it arrived but for its line ends, for an analyzer: what looks odd may be what it
            looks for.
        kind: what a detector recognised, or "text".
        analyzers: those that can look into it, most confident first.
    """

    raw: str
    kind: str = "text"
    analyzers: tuple[Analyzer, ...] = ()

    @cached_property
    def text(self) -> str:
        """The paste without control characters: what is shown, sent or inserted."""
        return sanitize(self.raw)

    @cached_property
    def label(self) -> str:
        """For people, e.g. "Pasted e-mail, 48 lines, 2.1 kB"."""
        lines = self.text.strip("\n").count("\n") + 1
        return f"Pasted {self.kind}, {lines} line{'s' * (lines != 1)}, {size(self.raw)}"


def size(text: str) -> str:
    """Return the size of a text in UTF-8, for people."""
    return byte_size(len(text.encode("utf-8", "replace")))


def is_large(text: str) -> bool:
    """Tell whether a paste becomes a chip instead of going into the composer."""
    lines = normalize_newlines(text).strip("\n").count("\n") + 1
    return lines >= MINIMUM_LINES or len(text) > MINIMUM_CHARACTERS


def recognise(
    text: str, detectors: Sequence[Detector], analyzers: dict[str, Analyzer]
) -> PastedText:
    """Ask every detector; one that raises counts as not matching."""
    text = normalize_newlines(text)
    found: list[tuple[float, Detector, Analyzer]] = []
    for detector in detectors:
        analyzer = analyzers.get(detector.analyzer)
        if analyzer is None:
            continue
        confidence = _confidence(detector, text)
        if confidence >= OFFERED_FROM:
            found.append((confidence, detector, analyzer))
    if not found:
        return PastedText(text)
    found.sort(key=lambda item: -item[0])
    unique = {analyzer.name: analyzer for _, _, analyzer in found}
    return PastedText(text, found[0][1].kind, tuple(unique.values()))


def _confidence(detector: Detector, text: str) -> float:
    try:
        return float(detector.matches(text))
    except Exception:  # a plugin's fault must not lose the paste
        return 0.0


def quoted(question: str, pasted: str) -> str:
    """Return a message that asks about a quoted text."""
    quote = "\n".join(f"> {line}" if line else ">" for line in pasted.strip("\n").split("\n"))
    return f"{question.strip()}\n\n{quote}"
