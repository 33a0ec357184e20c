"""What moved the model: the mail is scored again with one piece taken out at a time.

Occlusion (Zeiler and Fergus 2014, https://arxiv.org/abs/1311.2901, section 2.1): whatever is
said here is true of the model that gave the verdict, whether or not the model is right. In a
mail that says the same thing five times no single piece matters; then random subsets are taken
out, and a piece's weight is its mean effect, by least squares (as in Ribeiro, Singh and Guestrin
2016, https://arxiv.org/abs/1602.04938, section 3).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from assistant.plugin_api import Classifier, Evidence, Passage, Score
from plugins.email_spam.canonical import canonical_text
from plugins.email_spam.facts import quote, sentences, unwrap
from plugins.email_spam.links import defang_host, host_of
from plugins.email_spam.mail import Mail

# An answer should come within a second: long mail is taken apart into fewer pieces, so that its
# variants with one piece out together have about so many tokens, and those with subsets out no
# more than are left of the second figure, but a few.
TOKENS, MOST_TOKENS = 1_500, 2_400
FEWEST_SPANS, MAX_SPANS = 8, 20
FEWEST_SUBSETS, SUBSETS = 8, 32
MAX_LINK_HOSTS = 5
# Characters of prose; of codes, addresses and other scripts, which are more tokens, fewer
# characters count as much. Of longer mail only the most telling stretch is explained.
LONG_BODY = 900
STRETCH = 600  # fits one window, with sender and subject
NEAR = 2  # stretches before and after the place that the model thought worst
MAX_REASONS = 6
NOTICEABLE = 0.1  # of log-odds
MAX_SHOWN = 2400  # characters of passages
_TOKEN = re.compile(r"[A-Za-z]{1,7}|[^\sA-Za-z]")


@dataclass(frozen=True)
class _Span:
    what: str
    quote: str
    remove: Callable[[Mail], Mail]
    piece: str = ""  # of the body, as it stands there


@dataclass(frozen=True)
class Explanation:
    """What moved the model: named reasons, and the body in pieces with the weight of each."""

    evidence: tuple[Evidence, ...] = ()
    passages: tuple[Passage, ...] = ()


def explain(mail: Mail, classifier: Classifier, score: Score | None = None) -> Explanation:
    """Find the pieces of a mail that moved the score most, strongest first.

    ``weight`` is the log-odds of spam that the piece adds: the score with it less the score
    without it. Of a long mail a stretch is explained: of those about the window that decided, the
    one with the highest score. All variants are scored in one batched call.

    Args:
        score: the classifier's of the mail, if it is known already.
    """
    text = canonical_text(mail)
    mail = replace(mail, body=unwrap(mail.body))
    if score is None or canonical_text(mail) != text:
        (score,) = classifier.score([canonical_text(mail)])
    mail, score = _telling_stretch(mail, score, classifier)
    spans = _spans(mail, _affordable(score))
    if not spans:
        return Explanation(passages=tuple(_passages([(mail.body, 0.0)])))
    weights = _one_at_a_time(mail, score, spans, classifier)
    if max(map(abs, weights)) < NOTICEABLE and len(spans) > 2:
        weights = _by_subsets(mail, score, spans, classifier)
    strongest = sorted(zip(weights, spans, strict=True), key=lambda pair: -abs(pair[0]))
    evidence = tuple(
        Evidence(
            f"{span.what} {'speaks for' if weight > 0 else 'speaks against'} spam",
            round(weight, 2),
            span.quote,
        )
        for weight, span in strongest[:MAX_REASONS]
        if abs(weight) >= NOTICEABLE
    )
    pieces = [(span.piece, w) for span, w in zip(spans, weights, strict=True) if span.piece]
    return Explanation(evidence, tuple(_passages(pieces or [(mail.body, 0.0)])))


def _one_at_a_time(
    mail: Mail, score: Score, spans: list[_Span], classifier: Classifier
) -> list[float]:
    full = _log_odds(score.probability)
    return [full - less for less in _scored([span.remove(mail) for span in spans], classifier)]


def _by_subsets(
    mail: Mail, score: Score, spans: list[_Span], classifier: Classifier
) -> list[float]:
    """Return the mean effect of each piece over random subsets of the others."""
    import numpy as np

    random = np.random.default_rng(0)
    left = MOST_TOKENS - len(spans) * score.tokens
    count = min(SUBSETS, 2 * left // max(1, score.tokens))  # each is about half the mail
    count = max(FEWEST_SUBSETS, count)
    removed = random.random((count, len(spans))) < 0.5
    removed[0] = False
    variants = []
    for row in removed[1:]:
        variant = mail
        for span, gone in zip(spans, row, strict=True):
            variant = span.remove(variant) if gone else variant
        variants.append(variant)
    scores = np.array([_log_odds(score.probability), *_scored(variants, classifier)])
    # ridge, so that pieces which always went together share what they did together
    design = np.column_stack([~removed, np.ones(count)]).astype(float)
    penalty = np.diag([1.0] * len(spans) + [0.0])
    solution = np.linalg.solve(design.T @ design + penalty, design.T @ scores)
    return [float(weight) for weight in solution[:-1]]


def _scored(variants: list[Mail], classifier: Classifier) -> list[float]:
    scores = classifier.score([canonical_text(variant) for variant in variants])
    return [_log_odds(score.probability) for score in scores]


def _passages(pieces: list[tuple[str, float]]) -> Iterator[Passage]:
    """Shorten what moved nothing, join such neighbours, make links harmless."""
    room, plain = MAX_SHOWN, ""
    for piece, weight in pieces:
        noticed = abs(weight) >= NOTICEABLE
        text = quote(piece, 400 if noticed else 120)
        if not text or room <= 0:
            continue
        room -= len(text)
        if not noticed:
            plain = f"{plain} {text}".strip()
            continue
        if plain:
            yield Passage(plain)
            plain = ""
        yield Passage(text, round(weight, 2))
    if plain:
        yield Passage(plain)


def _telling_stretch(mail: Mail, score: Score, classifier: Classifier) -> tuple[Mail, Score]:
    """Return what is explained of a mail, with its score: all of it, or one stretch."""
    windows = score.windows
    if _length(mail.body) <= LONG_BODY:
        return mail, score
    size = STRETCH * len(mail.body) // _length(mail.body)
    parts = _grouped(sentences(mail.body), max(1, size))
    worst = max(range(len(windows)), key=lambda index: windows[index], default=0)
    if worst == 0:  # decided by beginning and end
        parts = [*parts[:NEAR], *parts[NEAR:][-NEAR:]]
    else:
        place = round(len(parts) * (worst - 0.5) / (len(windows) - 1))
        parts = parts[max(0, place - NEAR) :][: 2 * NEAR + 1]
    stretches = [replace(mail, body=part) for part in parts]
    scores = classifier.score([canonical_text(stretch) for stretch in stretches])
    best = max(range(len(stretches)), key=lambda index: scores[index].probability)
    return stretches[best], scores[best]


def _spans(mail: Mail, affordable: int) -> list[_Span]:
    spans = []
    if mail.sender_name or mail.sender_address:
        shown = f"{mail.sender_name} <{defang_host(mail.sender_domain)}>".strip()
        spans.append(_Span("The sender", quote(shown), _without_sender))
    if mail.subject:
        spans.append(_Span("The subject", quote(mail.subject), lambda m: replace(m, subject="")))
    targets: dict[str, list[str]] = {}
    for link in mail.links:
        if link.target in mail.body:
            targets.setdefault(host_of(link.target), []).append(link.target)
    for host, urls in list(targets.items())[:MAX_LINK_HOSTS]:
        longest_first = sorted(urls, key=len, reverse=True)
        remove = partial(_without_links, urls=longest_first)
        spans.append(_Span(f"The link to {defang_host(host)}", "", remove))
    left = max(1, affordable - len(spans))
    pieces = sentences(mail.body)
    if len(pieces) > left:
        pieces = _grouped(pieces, max(1, math.ceil(len(mail.body) / left)))
    if len(pieces) > 1 or spans:
        for piece in pieces[:left]:
            spans.append(_Span("This passage", quote(piece), partial(_without, piece=piece), piece))
    return spans


def _affordable(score: Score) -> int:
    """Return how many variants of what has this score may be scored."""
    return min(MAX_SPANS, max(FEWEST_SPANS, TOKENS // max(1, score.tokens)))


def _length(text: str) -> int:
    """Return how many characters of prose are as many tokens, four each: an estimate."""
    return max(len(text), 4 * len(_TOKEN.findall(text)))


def _without_sender(mail: Mail) -> Mail:
    return replace(mail, sender_name="", sender_address="", reply_to="")


def _without_links(mail: Mail, urls: list[str]) -> Mail:
    body = mail.body
    for url in urls:
        body = body.replace(f"<{url}>", "").replace(url, "")
    return replace(mail, body=body)


def _without(mail: Mail, piece: str) -> Mail:
    """Take a piece out of the body, line by line: a group of sentences spans several."""
    body = mail.body
    for line in piece.split("\n"):
        body = body.replace(line, "", 1)
    return replace(mail, body=body)


def _grouped(pieces: list[str], size: int) -> list[str]:
    """Join neighbours until each group has at least ``size`` characters; cut what is longer."""
    groups: list[str] = []
    for piece in pieces:
        for start in range(0, len(piece), size):
            part = piece[start : start + size]
            if groups and len(groups[-1]) < size:
                groups[-1] += "\n" + part
            else:
                groups.append(part)
    return groups


def _log_odds(probability: float) -> float:
    probability = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(probability / (1 - probability))
