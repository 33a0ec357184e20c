"""Questions about notes, and which of the notes' sentences answer them.

Two losses: a sentence that answers is told from all others of the batch (InfoNCE,
https://arxiv.org/abs/1807.03748), and it passes a threshold that no other sentence of its notes
passes (the sigmoid loss of https://arxiv.org/abs/2303.15343 with a fixed bias), so that one can
tell that nothing answers.

Shapes: Q questions, C sentences, D width.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from assistant.handbook.query import search_text
from assistant.handbook.sentences import titled
from training.finetuning.conversations import Dialogue
from training.finetuning.sources import answer_sources, note_sentences

MOST_RIGHT, MOST_NEAR, MOST = 3, 3, 8
"""Sentences of one question: of those that answer, of others in the same notes, altogether."""
ALONE = 0.4
"""How often a follow-up is looked for without what it goes back to; the product does both."""
ELSEWHERE = 0.3
"""Weight of other questions' sentences against the threshold: they are seldom near it."""


@dataclass(frozen=True)
class SearchItem:
    """An answer's question in all wordings, each with what was asked before it.

    Attributes:
        sentences: of all notes, as they are encoded.
        notes: the number of the note each is of.
        right: the places of those that answer; none when the notes don't.
    """

    questions: tuple[tuple[str, ...], ...]
    sentences: tuple[str, ...]
    notes: tuple[int, ...]
    right: frozenset[int]


@dataclass(frozen=True)
class SearchBatch:
    """Texts to encode and what is to be learned of them.

    Attributes:
        owner_C: the question each sentence was drawn for.
        right_C: whether it answers that question.
    """

    questions: list[str]
    sentences: list[str]
    owner_C: Tensor
    right_C: Tensor


def search_items(dialogues: Sequence[Dialogue]) -> list[SearchItem]:
    """Return an item for each answer of dialogues with notes."""
    return [item for dialogue in dialogues if dialogue.notes for item in _items(dialogue)]


def _items(dialogue: Dialogue) -> list[SearchItem]:
    parts = note_sentences(dialogue.notes)
    spoken = [message for message in dialogue.messages if message.role != "system"]
    asked: list[str] = []
    found = []
    for asks, answered in zip(spoken[::2], spoken[1::2], strict=False):
        asked.append(asks.content)
        others = dialogue.asks if len(asked) == 1 else ()
        found.append(
            SearchItem(
                questions=(tuple(asked), *((text,) for text in others)),
                sentences=tuple(titled(title, text) for _, title, text in parts),
                notes=tuple(number for number, _, _ in parts),
                right=frozenset(answer_sources(answered.content, parts)),
            )
        )
    return found


def draw_search(items: Sequence[SearchItem], draw: random.Random) -> SearchBatch:
    """Draw a wording and some sentences of each item."""
    questions: list[str] = []
    sentences: list[str] = []
    owner: list[int] = []
    right: list[bool] = []
    for number, item in enumerate(items):
        asked = draw.choice(item.questions)
        alone = len(asked) > 1 and draw.random() < ALONE
        questions.append(asked[-1] if alone else search_text(asked))
        for place in _drawn(item, draw):
            sentences.append(item.sentences[place])
            owner.append(number)
            right.append(place in item.right)
    return SearchBatch(questions, sentences, torch.tensor(owner), torch.tensor(right))


def _drawn(item: SearchItem, draw: random.Random) -> list[int]:
    chosen = sorted(item.right)[:MOST_RIGHT]
    others = [place for place in range(len(item.sentences)) if place not in item.right]
    draw.shuffle(others)
    notes = {item.notes[place] for place in item.right}
    near = [place for place in others if item.notes[place] in notes][:MOST_NEAR]
    far = [place for place in others if place not in near]
    return [*chosen, *near, *far][:MOST]


def search_loss(
    questions_QD: Tensor, sentences_CD: Tensor, batch: SearchBatch, scale: float, threshold: float
) -> Tensor:
    """Return the mean loss of a batch's vectors, which have length one.

    Args:
        scale: multiplies the cosines (one over the temperature).
        threshold: cosine that sentences which answer pass.
    """
    cosine_QC = questions_QD @ sentences_CD.T
    device = cosine_QC.device
    own_QC = batch.owner_C.to(device) == torch.arange(len(cosine_QC), device=device)[:, None]
    right_QC = own_QC & batch.right_C.to(device)
    logits_QC = cosine_QC * scale
    wrong_Q1 = logits_QC.masked_fill(right_QC, -torch.inf).logsumexp(dim=1, keepdim=True)
    listed = F.softplus(wrong_Q1 - logits_QC)[right_QC]
    passed_QC = F.binary_cross_entropy_with_logits(
        (cosine_QC - threshold) * scale, right_QC.to(cosine_QC.dtype), reduction="none"
    )
    weight_QC = torch.where(own_QC, 1.0, ELSEWHERE)
    passing = (passed_QC * weight_QC).sum() / len(cosine_QC)
    return listed.sum() / max(1, len(listed)) + 0.5 * passing
