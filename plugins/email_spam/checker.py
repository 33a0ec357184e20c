"""The checker as every door uses it: the person's classifier, their rules, their corrections."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from assistant.plugin_api import Action, Report
from plugins.email_spam.checking import MODEL, Verdict, banded, check, ruled
from plugins.email_spam.mail import Mail
from plugins.email_spam.marks import Label, mark, mark_counts
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
        actions = (
            Action("It is spam", partial(self._learn, mail, "spam")),
            Action("It is fine", partial(self._learn, mail, "ham")),
        )
        return replace(report, actions=actions)

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

    def _learn(self, mail: Mail, label: Label) -> str:
        base = self.classifier.base
        mark(mail, label, base, load_settings().keep_text)
        return marked_line(label, base.revision)


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
