"""The encoded training examples of an epoch: one way to ask or all, entries, changed notes."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

from assistant.tokenizer import Tokenizer
from training.finetuning.conversations import Dialogue, Example, encode_example
from training.finetuning.grounded import GroundedConfig, GroundedVariants
from training.finetuning.handbook import HandbookExamples, Prompted
from training.finetuning.mixing import PlainTexts, check_weights, passes
from training.finetuning.passages import PassageExamples


class ChatExamples:
    """Draws an epoch's examples; called with the same random numbers it returns the same ones.

    Args:
        dialogues: of the training split.
        length: tokens after which a conversation is cut.
        one: one way to ask a question in an epoch, instead of all.
        handbook: puts entries in front of questions; None leaves them alone.
        weights: passes over a source in one epoch (default 1); a fraction is a chance.
        texts: plain text that is mixed in.

    Raises:
        ValueError: weights name a source that is not there.
    """

    def __init__(
        self,
        dialogues: Sequence[Dialogue],
        tokenizer: Tokenizer,
        length: int,
        system_prompt: str,
        one: bool,
        handbook: HandbookExamples | None = None,
        grounded: GroundedConfig | None = None,
        weights: Mapping[str, float] | None = None,
        texts: PlainTexts | None = None,
    ) -> None:
        self.weights, self.texts = weights or {}, texts
        self.tokenizer, self.length, self.system_prompt = tokenizer, length, system_prompt
        self.one, self.handbook = one, handbook
        self.passages = PassageExamples(handbook.handbook.reader) if handbook else None
        self.grounded = GroundedVariants(dialogues, grounded or GroundedConfig())
        sources = {dialogue.source for dialogue in dialogues} | (texts.sources if texts else set())
        check_weights(self.weights, sources)
        self.dialogues = [d for d in dialogues if self._fits(d)]
        self._warn(len(dialogues) - len(self.dialogues))

    def __call__(self, draw: random.Random) -> list[Example]:
        """Return an epoch's examples."""
        found: list[Example] = []
        for dialogue in self.dialogues:
            for _ in range(passes(self.weights.get(dialogue.source, 1.0), draw)):
                found += self._examples(dialogue, draw)
        return found + (self.texts(self.weights, draw) if self.texts else [])

    def _examples(self, dialogue: Dialogue, draw: random.Random) -> list[Example]:
        found: list[Example] = []
        questions = _questions(dialogue)
        for question in [draw.choice(questions)] if self.one else questions:
            found += self._encoded(self._prompted(dialogue, question, draw))
        return found

    def held_out(self, dialogues: Sequence[Dialogue]) -> list[Example]:
        """Return examples to validate with: questions as written, with what would be found."""
        found: list[Example] = []
        for dialogue in dialogues:
            messages = dialogue.variants(self.system_prompt)[0]
            if self.handbook is None or self.passages is None:
                prompted = [(messages, False)]
            elif dialogue.notes:
                prompted = self.passages.prompted(messages)
            else:
                prompted = self.handbook.as_asked(dialogue.key, messages)
            found += self._encoded(prompted)
        return found

    def _prompted(self, dialogue: Dialogue, question: str, draw: random.Random) -> list[Prompted]:
        asked = self.grounded.draw(_asked(dialogue, question), draw)
        messages = asked.variants(self.system_prompt)[0]
        if self.handbook is None or self.passages is None:
            return [(messages, False)]
        if dialogue.notes:
            return self.passages.prompted(messages)
        return self.handbook.prompted(dialogue.key, messages, draw)

    def _encoded(self, prompted: Sequence[Prompted]) -> list[Example]:
        examples = (
            encode_example(messages, self.tokenizer, self.length, last)
            for messages, last in prompted
        )
        return [example for example in examples if example is not None]

    def _fits(self, dialogue: Dialogue) -> bool:
        return bool(self._encoded([(dialogue.variants(self.system_prompt)[0], False)]))

    def _warn(self, dropped: int) -> None:
        """Count what an epoch cuts."""
        draw = random.Random(0)  # noqa: S311
        examples = [e for dialogue in self.dialogues for e in self._examples(dialogue, draw)]
        cut = sum(len(example.ids) == self.length for example in examples)
        if cut or dropped:
            print(
                f"warning: rows hold {self.length} tokens: {cut} conversations were cut, {dropped} "
                "left out because their answer lies beyond; raise context_length",
                file=sys.stderr,
            )


def _questions(dialogue: Dialogue) -> list[str]:
    system = dialogue.messages[0].role == "system"
    return [dialogue.messages[system].content, *dialogue.asks]


def _asked(dialogue: Dialogue, question: str) -> Dialogue:
    """Return the dialogue with its first question worded that way."""
    system = dialogue.messages[0].role == "system"
    messages = list(dialogue.messages)
    messages[system] = replace(messages[system], content=question)
    return replace(dialogue, messages=tuple(messages))
