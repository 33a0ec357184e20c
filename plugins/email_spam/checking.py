"""From a mail to a verdict that says how sure it is, why, and what to do."""

from __future__ import annotations

import time
from typing import Literal

from assistant.plugin_api import Classifier, Report, sanitize_line
from plugins.email_spam.canonical import canonical_text
from plugins.email_spam.evidence import model_evidence
from plugins.email_spam.facts import facts
from plugins.email_spam.links import defang_host
from plugins.email_spam.mail import Mail

Verdict = Literal["spam", "ham", "unsure"]
MODEL = "email-spam"
KIND = "e-mail"
FEWEST_WORDS = 3
_ADVICE: dict[Verdict, tuple[str, ...]] = {
    "spam": (
        "Don't follow its links, call its numbers or open its attachments",
        "If it names a company you use, go there by typing its address yourself",
        "Report it as spam in your mail program, then delete it",
    ),
    "unsure": (
        "Ask the sender by another way that you already know",
        "Until then don't sign in, pay or open attachments because of it",
    ),
    "ham": ("Stay careful with any mail that asks for money or passwords",),
}


def check(
    mail: Mail, classifier: Classifier, explain: bool = True, threshold: float | None = None
) -> Report:
    """Judge one mail.

    Args:
        explain: also find what moved the model (about 25 times the work).
        threshold: in place of the bundle's; "unsure" then reaches up to it.
    """
    started = time.perf_counter()
    probability = classifier.score([canonical_text(mail)])[0].probability
    decided = verdict(mail, probability, classifier, threshold)
    reasons = model_evidence(mail, classifier) if explain and has_text(mail) else []
    elapsed = (time.perf_counter() - started) * 1000
    return Report(
        kind=KIND,
        verdict=decided,
        tone={"spam": "bad", "ham": "good", "unsure": "unsure"}[decided],  # type: ignore[arg-type]
        score=probability,
        headline=_headline(mail, decided, probability),
        evidence=(*reasons, *facts(mail)),
        details=_details(mail, classifier.name, elapsed),
        advice=_ADVICE[decided],
    )


def verdict(
    mail: Mail, probability: float, classifier: Classifier, threshold: float | None = None
) -> Verdict:
    """Return the verdict for a probability; a mail without text is never judged."""
    if not has_text(mail):
        return "unsure"
    low, _ = classifier.unsure
    limit = classifier.threshold if threshold is None else threshold
    if probability >= limit:
        return "spam"
    return "unsure" if probability >= min(low, limit) else "ham"


def has_text(mail: Mail) -> bool:
    """Whether there is enough to judge: a few words, or a link."""
    words = sum(any(c.isalnum() for c in word) for word in f"{mail.subject} {mail.body}".split())
    # Scripts without spaces write a sentence as one word.
    return words >= FEWEST_WORDS or bool(mail.links) or len(mail.body) >= 20


def percent(probability: float) -> str:
    """Return a probability for people; never a certainty."""
    if probability > 0.99:
        return "more than 99%"
    return "less than 1%" if probability < 0.01 else f"{probability:.0%}"


def _headline(mail: Mail, decided: Verdict, probability: float) -> str:
    if not has_text(mail):
        what = "only pictures" if mail.images else "hardly any text"
        return f"Hard to say: there is {what} to judge"
    if decided == "spam":
        return f"This looks like spam ({percent(probability)} sure)"
    if decided == "unsure":
        return f"Hard to say: {percent(probability)} likely to be spam"
    return f"This looks fine ({percent(probability)} likely to be spam)"


def _details(mail: Mail, model: str, milliseconds: float) -> dict[str, str]:
    local, at, _ = mail.sender_address.rpartition("@")
    sender = f"{mail.sender_name} <{local}{at}{defang_host(mail.sender_domain)}>".strip()
    details = {"From": sanitize_line(sender if sender != "<>" else "(not given)")}
    details["Subject"] = sanitize_line(mail.subject) or "(none)"
    if mail.date:
        details["Date"] = sanitize_line(mail.date, 60)
    details["Links"] = str(len(mail.links))
    if mail.images:
        details["Pictures"] = str(mail.images)
    if mail.attachments:
        shown = [f"{a.name} ({_size(a.size)})" for a in mail.attachments[:5]]
        more = len(mail.attachments) - len(shown)
        details["Attachments"] = sanitize_line(", ".join(shown)) + (
            f" and {more} more" * (more > 0)
        )
    if mail.notes:
        details["Not read"] = sanitize_line("; ".join(mail.notes), 400)
    details["Model"] = model
    details["Time"] = f"{milliseconds:.0f} ms"
    return details


def _size(size: int) -> str:
    return f"{size:,} bytes" if size < 10_000 else f"{size / 1000:,.0f} kB"
