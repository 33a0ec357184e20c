"""The checker as every door uses it: the person's classifier, their rules, their corrections."""

from __future__ import annotations

from dataclasses import dataclass, replace

from assistant.plugin_api import Action, EmbeddingClassifier, Report
from plugins.email_spam.checking import MODEL, Verdict, banded, check, ruled
from plugins.email_spam.mail import Mail
from plugins.email_spam.marks import Label, Marked, mark, mark_counts, take_back
from plugins.email_spam.personal import PersonalClassifier, load_personal
from plugins.email_spam.rules import SenderRules, load_rules
from plugins.email_spam.settings import load_settings


@dataclass(frozen=True)
class Checker:
    """Judges mails."""

    classifier: PersonalClassifier
    rules: SenderRules

    def check(self, mail: Mail, explain: bool = True, threshold: float | None = None) -> Report:
        """Judge one mail, see ``checking.check``; the report can be corrected by its actions."""
        report = check(mail, self.classifier, explain, threshold, self.rules)
        base = self.classifier.base
        corrections = (_Correction(mail, "spam", base), _Correction(mail, "ham", base))
        labels = ("It is spam", "It is fine")
        actions = (Action(n, c.run, c.undo) for n, c in zip(labels, corrections, strict=True))
        return replace(report, actions=tuple(actions))

    def decide(
        self, sender: str, judged: bool, probability: float, threshold: float | None = None
    ) -> Verdict:
        """Return the verdict for what is known already of a mail.

        Args:
            sender: its address.
            judged: whether there was enough text to judge.
        """
        own = ruled(self.rules.match_address(sender))
        if own or not judged:
            return own or "unsure"
        return banded(probability, self.classifier, threshold)


class _Correction:
    """A button of the card: marks a mail, and can take that back."""

    def __init__(self, mail: Mail, label: Label, classifier: EmbeddingClassifier) -> None:
        self._mail, self._label, self._classifier = mail, label, classifier
        self._marked: Marked | None = None

    def run(self) -> str:
        keep_text = load_settings().keep_text
        self._marked = mark(self._mail, self._label, self._classifier, keep_text)
        return marked_line(self._label, self._classifier.revision)

    def undo(self) -> str:
        if self._marked is not None:
            take_back(self._marked)
        return f"No longer remembered as {self._label}"


def load_checker() -> Checker:
    """Load the model, the person's head, thresholds and rules.

    Raises:
        ModelError: the bundle is missing, damaged or no classifier.
        StorageError: the plugin's database cannot be read.
    """
    return Checker(load_personal(MODEL), load_rules())


def marked_line(label: Label, revision: str) -> str:
    """Return what to say after a mark: how many there are, and what they are for."""
    from plugins.email_spam.tuning import FEWEST

    counts = mark_counts(revision)
    spam, ham = counts["spam"], counts["ham"]
    line = f"Remembered as {label}: {spam} spam and {ham} ham so far"
    if min(spam, ham) >= FEWEST:
        return f"{line}; `assistant spam tune` learns from them"
    return f"{line}; `assistant spam tune` can learn from {FEWEST} of each"
