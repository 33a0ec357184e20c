"""The plugin API: everything a plugin may import from the assistant.

A plugin is a module (or object) registered under the entry-point group ``assistant.plugins``
that implements some of the hooks below, marked with ``hookimpl``. Register hooks run at start
and must be cheap: import heavy libraries inside functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import pluggy

from assistant.errors import AssistantError, BadInputError, ExitCode, ModelError, StorageError
from assistant.migrations import migrate
from assistant.text import escape_controls, sanitize, sanitize_line

if TYPE_CHECKING:
    import threading

    import click
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Action",
    "Analyzer",
    "AssistantError",
    "BadInputError",
    "Classifier",
    "Detector",
    "EmbeddingClassifier",
    "Evidence",
    "ExitCode",
    "HookSpecs",
    "ModelError",
    "Passage",
    "Report",
    "Score",
    "SlashCommand",
    "StorageError",
    "escape_controls",
    "hookimpl",
    "load_classifier",
    "migrate",
    "plugin_data_directory",
    "plugin_data_path",
    "sanitize",
    "sanitize_line",
]

GROUP = "assistant.plugins"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)

Tone = Literal["good", "bad", "unsure", "neutral"]


@dataclass(frozen=True)
class Evidence:
    """One reason for a verdict, in plain words.

    Attributes:
        text: the reason, plain text.
        weight: how far it moved the score: positive towards the verdict's bad side, negative
            away from it, None for a fact that the model did not weigh.
        quote: the passage it speaks of, plain text, or empty.
    """

    text: str
    weight: float | None = None
    quote: str = ""


@dataclass(frozen=True)
class Passage:
    """A piece of the text that was analysed, in order, for a host that can highlight.

    Attributes:
        text: as it may be shown: the plugin has made links in it harmless.
        weight: how far it moved the score, see ``Evidence``; 0 for what did not.
    """

    text: str
    weight: float = 0.0


@dataclass(frozen=True)
class Action:
    """Something the person may do about a report, e.g. correct it: a button of the card.

    Attributes:
        label: what the button says.
        run: does it, on a worker thread, and returns one line that says what happened;
            AssistantError is shown. A report's actions exclude each other: the first that
            succeeds takes the buttons away.
        undo: takes back what ``run`` did and likewise says so; then the buttons are there
            again. None where there is no way back.
    """

    label: str
    run: Callable[[], str]
    undo: Callable[[], str] | None = None


@dataclass(frozen=True)
class Report:
    """What an analyzer found. The host renders it: a card, text or JSON.

    All text is plain: the host never reads markup in it and removes control characters.

    Attributes:
        kind: what was analysed, e.g. "e-mail".
        verdict: one word for people and scripts, e.g. "spam".
        tone: how the host colours it.
        score: probability of the bad outcome in [0, 1].
        headline: one sentence that states the result.
        evidence: the reasons, strongest first.
        details: name to value, shown as a table.
        advice: what to do next, one line each.
        passages: the text, or its most telling part, for a host that can highlight.
        quotation: what may be handed to the chat in place of the raw text when the person wants
            to talk about it, e.g. with links made harmless; empty for the raw text itself.
        actions: what the person may do about it.
    """

    kind: str
    verdict: str
    tone: Tone
    score: float
    headline: str
    evidence: tuple[Evidence, ...] = ()
    details: dict[str, str] = field(default_factory=dict)
    advice: tuple[str, ...] = ()
    passages: tuple[Passage, ...] = ()
    quotation: str = ""
    actions: tuple[Action, ...] = ()


@dataclass(frozen=True)
class Detector:
    """Recognises a kind of text. Pure and fast: it runs on the interface's thread.

    Attributes:
        name: unique, e.g. "email_spam.email".
        kind: what it recognises, for people, e.g. "e-mail".
        analyzer: name of the analyzer that can look into it.
        matches: probability-like confidence in [0, 1] that the text (line ends are newlines) is
            of this kind; the host offers the analyzer from 0.5.
    """

    name: str
    kind: str
    analyzer: str
    matches: Callable[[str], float]


@dataclass(frozen=True)
class Analyzer:
    """Looks into a text of one kind. Slow and lazy: it runs on a worker thread.

    Attributes:
        name: unique, e.g. "email_spam.check".
        title: what the button says, e.g. "Check for spam".
        analyze: ``analyze(text, progress, cancel) -> Report``. ``progress(fraction)`` may be
            called with 0..1; ``cancel.is_set()`` asks it to stop (raise or return anything).
    """

    name: str
    title: str
    analyze: Callable[[str, Callable[[float], None], threading.Event], Report]


@dataclass(frozen=True)
class SlashCommand:
    """A command typed into the composer, e.g. ``/spam FILE``.

    Attributes:
        name: without the slash.
        help: one line.
        run: ``run(arguments) -> Report | str``, on a worker thread; AssistantError is shown.
    """

    name: str
    help: str
    run: Callable[[str], Report | str]


@dataclass(frozen=True)
class Score:
    """A classifier's answer for one text.

    Attributes:
        probability: calibrated probability of the bundle's positive label, in [0, 1].
        windows: probability of each window the text was read in: of a long text the first holds
            its beginning and end, the others what lies between, in order and at even distances.
        tokens: tokens read.
        embedding: float32 [D] of the window that decided, None unless asked for.
    """

    probability: float
    windows: tuple[float, ...]
    tokens: int
    embedding: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)


class Classifier(Protocol):
    """A text classifier over a bundle. Calls are serialised inside."""

    @property
    def name(self) -> str:
        """Name of the bundle."""

    @property
    def threshold(self) -> float:
        """Probability from which the verdict is the positive label."""

    @property
    def unsure(self) -> tuple[float, float]:
        """Probabilities in [low, high) are "unsure"; high is the threshold."""

    def score(self, texts: Sequence[str]) -> list[Score]:
        """Score texts in batches of similar length; order is kept."""


class EmbeddingClassifier(Classifier, Protocol):
    """A classifier that also gives what its score layer reads, for a head of one's own."""

    @property
    def revision(self) -> str:
        """Changes whenever the weights or the tokenizer do: embeddings compare within one."""

    @property
    def scoring(self) -> str:
        """Changes whenever the score of a text may: weights, calibration, what is read of it."""

    @property
    def embedding_width(self) -> int:
        """Width D of an embedding; 0 when the bundle was exported without them."""

    def score_quickly(self, texts: Sequence[str]) -> list[Score]:
        """Score texts, reading less of one whose beginning, middle and end leave no doubt.

        For many texts whose verdicts count and whose exact probabilities do not.
        """

    def embed(self, texts: Sequence[str]) -> list[Score]:
        """Score texts, each score with the embedding of its deciding window.

        Raises:
            ModelError: the bundle was exported without embeddings.
        """


def load_classifier(name: str) -> EmbeddingClassifier:
    """Return the classifier of a bundle, loaded once per process.

    Raises:
        ModelError: the bundle is missing, damaged or no classifier.
    """
    from assistant.engine.classifier import load_classifier as load

    return load(name)


def plugin_data_path(plugin: str) -> Path:
    """Return the directory in which a plugin may keep data; asking creates nothing."""
    from assistant.paths import data_directory

    return data_directory() / "plugins" / plugin


def plugin_data_directory(plugin: str) -> Path:
    """Return (and create, mode 0700) the directory in which a plugin may keep data."""
    from assistant.paths import ensure_data_directory

    directory = ensure_data_directory() / "plugins" / plugin
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory


class HookSpecs:
    """The hooks. Each returns what it adds; nothing is passed in that a plugin must change."""

    @hookspec
    def register_commands(self) -> Sequence[click.Command]:  # type: ignore[empty-body]
        """Return click commands to add under ``assistant``."""

    @hookspec
    def register_detectors(self) -> Sequence[Detector]:  # type: ignore[empty-body]
        """Return detectors for pasted text."""

    @hookspec
    def register_analyzers(self) -> Sequence[Analyzer]:  # type: ignore[empty-body]
        """Return analyzers that detectors and commands refer to."""

    @hookspec
    def register_slash_commands(self) -> Sequence[SlashCommand]:  # type: ignore[empty-body]
        """Return slash commands for the composer."""


def entry_hooks() -> list[str]:
    """Return the names of all hooks, for ``plugins list``."""
    return [name for name in vars(HookSpecs) if not name.startswith("_")]


def as_plain(report: Report) -> dict[str, Any]:
    """Return a report as JSON-ready data."""
    return {
        "kind": report.kind,
        "verdict": report.verdict,
        "score": report.score,
        "headline": report.headline,
        "evidence": [
            {"text": e.text, "weight": e.weight, "quote": e.quote} for e in report.evidence
        ],
        "details": report.details,
        "advice": list(report.advice),
    }
