"""What moved the model: the mail is scored again with one piece taken out at a time.

Occlusion (Zeiler and Fergus 2014, https://arxiv.org/abs/1311.2901, section 2.1): whatever is
said here is true of the model that gave the verdict, whether or not the model is right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from assistant.plugin_api import Classifier, Evidence
from plugins.email_spam.canonical import canonical_text
from plugins.email_spam.facts import quote, sentences
from plugins.email_spam.links import defang_host, host_of
from plugins.email_spam.mail import Mail

MAX_SPANS = 24
MAX_LINK_HOSTS = 5
LONG_BODY = 4000  # characters; of longer mail only the most telling stretch is explained
STRETCH = 1500
MAX_REASONS = 6
NOTICEABLE = 0.1  # of log-odds


@dataclass(frozen=True)
class _Span:
    what: str
    quote: str
    without: Mail


def model_evidence(mail: Mail, classifier: Classifier) -> list[Evidence]:
    """Return the pieces of a mail that moved the score most, strongest first.

    ``weight`` is the log-odds of spam that the piece adds: the score with it less the score
    without it. Of a long mail the stretch with the highest score is explained.
    """
    mail = _telling_stretch(mail, classifier)
    spans = _spans(mail)
    if not spans:
        return []
    texts = [canonical_text(mail), *(canonical_text(span.without) for span in spans)]
    full, *rest = (_log_odds(score.probability) for score in classifier.score(texts))
    weighted = sorted(
        ((full - less, span) for span, less in zip(spans, rest, strict=True)),
        key=lambda pair: -abs(pair[0]),
    )
    return [
        Evidence(
            f"{span.what} {'speaks for' if weight > 0 else 'speaks against'} spam",
            round(weight, 2),
            span.quote,
        )
        for weight, span in weighted[:MAX_REASONS]
        if abs(weight) >= NOTICEABLE
    ]


def _telling_stretch(mail: Mail, classifier: Classifier) -> Mail:
    if len(mail.body) <= LONG_BODY:
        return mail
    stretches = [replace(mail, body=part) for part in _grouped(sentences(mail.body), STRETCH)]
    scores = classifier.score([canonical_text(stretch) for stretch in stretches])
    best = max(range(len(stretches)), key=lambda index: scores[index].probability)
    return stretches[best]


def _spans(mail: Mail) -> list[_Span]:
    spans = []
    if mail.sender_name or mail.sender_address:
        shown = f"{mail.sender_name} <{defang_host(mail.sender_domain)}>".strip()
        without = replace(mail, sender_name="", sender_address="", reply_to="")
        spans.append(_Span("The sender", quote(shown), without))
    if mail.subject:
        spans.append(_Span("The subject", quote(mail.subject), replace(mail, subject="")))
    targets: dict[str, list[str]] = {}
    for link in mail.links:
        if link.target in mail.body:
            targets.setdefault(host_of(link.target), []).append(link.target)
    for host, urls in list(targets.items())[:MAX_LINK_HOSTS]:
        body = mail.body
        for url in sorted(urls, key=len, reverse=True):
            body = body.replace(f"<{url}>", "").replace(url, "")
        spans.append(_Span(f"The link to {defang_host(host)}", "", replace(mail, body=body)))
    left = MAX_SPANS - len(spans)
    pieces = sentences(mail.body)
    if len(pieces) > left:
        pieces = _grouped(pieces, max(1, math.ceil(len(mail.body) / left)))
    if len(pieces) > 1 or spans:
        for index, piece in enumerate(pieces[:left]):
            body = "\n".join(pieces[:index] + pieces[index + 1 :])
            spans.append(_Span("This passage", quote(piece), replace(mail, body=body)))
    return spans


def _grouped(pieces: list[str], size: int) -> list[str]:
    """Join neighbours until each group has at least ``size`` characters; cut what is longer."""
    groups: list[str] = []
    for piece in pieces:
        for start in range(0, len(piece), 2 * size):
            part = piece[start : start + 2 * size]
            if groups and len(groups[-1]) < size:
                groups[-1] += "\n" + part
            else:
                groups.append(part)
    return groups


def _log_odds(probability: float) -> float:
    probability = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(probability / (1 - probability))
