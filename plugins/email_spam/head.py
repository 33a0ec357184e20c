"""A small head on the frozen model's embedding: logistic regression, fitted in numpy.

    log-odds = a * m + w . z + b

m is the model's own log-odds of a mail, z its standardised embedding (D wide, norm about one).
Ridge regression pulls w to 0 and a to 1, that is, back to the model: a few marks move it a
little, many move it far. Of two views of a mail (``views``) each has such a head, and both
together are one, their weighed mean. Fitted by Newton's method (Hastie, Tibshirani and Friedman,
The Elements of Statistical Learning, 4.4.1), both classes weighing the same.

Shapes: N mails, D width of an embedding, K = min(N, D), F = K + 1 features.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant.plugin_api import BadInputError
from plugins.email_spam.views import VIEWS

FORMAT = "frontdesk.email_spam.head"
VERSION = 1
LARGEST_WIDTH = 65_536
VIEW_WEIGHTS = (1.0, 0.5)  # whole, headers: the second has less to say, and more by chance
_STEPS = 50
_TOLERANCE = 1e-8
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Head:
    """A fitted head.

    Attributes:
        revision: of the model whose embeddings it reads; no other is compatible.
        mean, scale, weights: D figures each; z = (embedding - mean) / scale.
        log_odds_weight: a.
        bias: b.
        regularization: strength of the ridge.
        spam, ham: marks it was fitted on.
    """

    revision: str
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    log_odds_weight: float
    bias: float
    regularization: float
    spam: int
    ham: int

    def log_odds(self, embedding_ND: NDArray[np.float32], model_N: Vector) -> Vector:
        """Return the log-odds of spam [N] from embeddings [N, D] and the model's log-odds [N]."""
        z_ND = (embedding_ND - np.array(self.mean)) / np.array(self.scale)
        return z_ND @ np.array(self.weights) + self.log_odds_weight * model_N + self.bias

    def to_json(self) -> str:
        """Return the head as a JSON document."""
        return json.dumps({"format": FORMAT, "version": VERSION} | asdict(self)) + "\n"


def head_from_json(text: str) -> Head:
    """Read what ``Head.to_json`` wrote.

    Raises:
        BadInputError: it is something else, newer, or damaged.
    """
    try:
        data: dict[str, Any] = json.loads(text)
        if data.pop("format") != FORMAT:
            raise ValueError("another format")
        if data.pop("version") != VERSION:
            raise BadInputError("The head was written by another version", "Tune again")
        vectors = [tuple(float(v) for v in data.pop(key)) for key in ("mean", "scale", "weights")]
        width = len(vectors[0])
        head = Head(
            revision=str(data["revision"]),
            mean=vectors[0],
            scale=vectors[1],
            weights=vectors[2],
            log_odds_weight=float(data["log_odds_weight"]),
            bias=float(data["bias"]),
            regularization=float(data["regularization"]),
            spam=int(data["spam"]),
            ham=int(data["ham"]),
        )
        figures = [*head.mean, *head.weights, head.log_odds_weight, head.bias]
        if not 0 < width <= LARGEST_WIDTH or {len(v) for v in vectors} != {width}:
            raise ValueError("widths differ")
        if not all(map(math.isfinite, figures)) or not all(0 < s < math.inf for s in head.scale):
            raise ValueError("figures that are no numbers")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        hint = "Give it a file that `assistant spam tune --export` wrote"
        raise BadInputError(f"This is no head of the spam checker ({error})", hint) from error
    return head


def fit_head(
    embedding_ND: NDArray[np.float32],
    model_N: Vector,
    spam_N: NDArray[np.bool_],
    regularization: float,
    revision: str = "",
) -> Head:
    """Fit one head, see ``fit_path``."""
    return fit_path(embedding_ND, model_N, spam_N, (regularization,), revision)[0]


def fit_path(
    embedding_ND: NDArray[np.float32],
    model_N: Vector,
    spam_N: NDArray[np.bool_],
    strengths: Sequence[float],
    revision: str = "",
) -> list[Head]:
    """Fit a head for each of some strengths, each on from the one before.

    Args:
        embedding_ND: embeddings of the marked mails.
        model_N: the model's log-odds of spam.
        spam_N: what the person said.
        strengths: of the ridge on the mean loss; a larger one stays nearer to the model.
    """
    mean = embedding_ND.mean(axis=0, dtype=np.float64)
    spread = embedding_ND.std(axis=0, dtype=np.float64)
    width = embedding_ND.shape[1]
    # sqrt(D) gives z a norm of about one whatever the width; dead dimensions stay near zero
    scale = np.maximum(spread, 1e-3 * max(float(spread.max()), 1e-6)) * math.sqrt(width)
    z_ND = (embedding_ND - mean) / scale
    # Ridge weights are sums of the rows: with fewer mails than figures N unknowns are enough.
    basis_DK = np.linalg.qr(z_ND.T)[0] if len(z_ND) < width else np.eye(width)
    x_NF = np.column_stack([z_ND @ basis_DK, model_N])
    target = np.where(spam_N, 1.0, 0.0)
    counts = np.where(spam_N, spam_N.sum(), (~spam_N).sum())
    importance = 0.5 / counts  # sums to one, half for each class
    prior = np.zeros(x_NF.shape[1])
    prior[-1] = 1.0
    heads = []
    beta, bias = prior, 0.0
    for strength in strengths:
        beta, bias = _newton(x_NF, target, importance, prior, strength, (beta, bias))
        head = Head(
            revision=revision,
            mean=tuple(mean.tolist()),
            scale=tuple(scale.tolist()),
            weights=tuple((basis_DK @ beta[:-1]).tolist()),
            log_odds_weight=float(beta[-1]),
            bias=bias,
            regularization=strength,
            spam=int(spam_N.sum()),
            ham=int((~spam_N).sum()),
        )
        heads.append(head)
    return heads


def fit_views(
    embedding_ND: NDArray[np.float32],
    model_N: Vector,
    spam_N: NDArray[np.bool_],
    strengths: Sequence[float],
    revision: str = "",
) -> list[Head]:
    """Fit a head for each view; for each strength return the one head that averages them.

    Args:
        embedding_ND: of all views, one behind the other, equally wide.
        model_N, spam_N, strengths: see ``fit_path``.
    """
    views = np.split(embedding_ND, len(VIEWS), axis=1)
    paths = [fit_path(view_ND, model_N, spam_N, strengths, revision) for view_ND in views]
    return [_averaged(heads) for heads in zip(*paths, strict=True)]


def _averaged(heads: Sequence[Head]) -> Head:
    shares = np.array(VIEW_WEIGHTS) / sum(VIEW_WEIGHTS)
    weighed = list(zip(shares.tolist(), heads, strict=True))
    return replace(
        heads[0],
        mean=sum((head.mean for head in heads), ()),
        scale=sum((head.scale for head in heads), ()),
        weights=tuple(share * weight for share, head in weighed for weight in head.weights),
        log_odds_weight=sum(share * head.log_odds_weight for share, head in weighed),
        bias=sum(share * head.bias for share, head in weighed),
    )


def _newton(
    x_NF: Vector,
    target_N: Vector,
    importance_N: Vector,
    prior_F: Vector,
    ridge: float,
    start: tuple[Vector, float],
) -> tuple[Vector, float]:
    """Minimise the weighted mean of the logistic loss + ridge/2 |beta - prior|^2; bias is free."""
    n, width = x_NF.shape
    design = np.column_stack([x_NF, np.ones(n)])
    centre = np.append(prior_F, 0.0)
    penalty = np.append(np.full(width, ridge), 1e-9)  # the last keeps the system solvable

    def objective(beta: Vector) -> float:
        margin = design @ beta
        loss = np.logaddexp(0, margin) - target_N * margin
        return float(importance_N @ loss + 0.5 * penalty @ (beta - centre) ** 2)

    beta = np.append(*start)
    value = objective(beta)
    for _ in range(_STEPS):
        probability = sigmoid(design @ beta)
        gradient = design.T @ (importance_N * (probability - target_N)) + penalty * (beta - centre)
        curvature = importance_N * probability * (1 - probability)
        hessian = (design.T * curvature) @ design + np.diag(penalty + 1e-12)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-4 and objective(beta - size * step) > value:
            size /= 2
        beta = beta - size * step
        before, value = value, objective(beta)
        if before - value < _TOLERANCE:
            break
    return beta[:-1], float(beta[-1])


def sigmoid(x: Vector) -> Vector:
    """Return 1 / (1 + exp(-x)) without overflow."""
    return np.exp(-np.logaddexp(0, -x))


def logit(probability: float) -> float:
    """Return the log-odds of a probability, kept finite."""
    probability = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(probability / (1 - probability))
