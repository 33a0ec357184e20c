"""A chat bundle as a ``ChatModel``: messages in, text out."""

from __future__ import annotations

import codecs
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock

from assistant.bundle import Bundle, find_bundle
from assistant.chat import Chunk, Completion, GenerationOptions, StopReason
from assistant.conversation import (
    DEFAULT_SYSTEM_PROMPT,
    HandbookEntry,
    Message,
    Note,
    encode_conversation,
    encode_prompt,
    is_about_notes,
    own_words,
    quotable,
)
from assistant.engine.copying import CitationBonus, CopyBonus
from assistant.engine.generator import Bonus, TextGenerator
from assistant.engine.given_facts import GivenFacts, InventionGuard
from assistant.engine.quoting import Quotes
from assistant.engine.stop_sequences import StopSequences
from assistant.handbook.loading import HandbookLoader
from assistant.sums import SUM, worked_out
from assistant.text import sanitize


class OnnxChatModel:
    """Talks through a bundle's graph; one stream at a time, the others wait."""

    def __init__(self, bundle: Bundle, threads: int | None = None, speculate: bool = True) -> None:
        """Load tokenizer and weights; raises ModelError."""
        self.bundle = bundle
        self.use_handbook = bool(bundle.handbook)
        self._handbook = HandbookLoader(bundle) if bundle.handbook else None
        with ThreadPoolExecutor(1) as pool:  # both take long, and the second leaves Python alone
            tokenizer = pool.submit(bundle.tokenizer)
            self.generator = TextGenerator(bundle, threads, speculate=speculate)
            self.tokenizer = tokenizer.result()
        self.options = GenerationOptions().updated(**bundle.chat.get("generation", {}))
        self._stop_tokens = frozenset(bundle.tokenizer_spec.special_tokens.values())
        self._lock = Lock()

    @property
    def name(self) -> str:
        """Name of the bundle."""
        return self.bundle.name

    @property
    def context_length(self) -> int:
        """Longest prompt plus answer, in tokens."""
        return self.bundle.context_length

    @property
    def system_prompt(self) -> str:
        """What the bundle was tuned with."""
        return str(self.bundle.chat.get("system_prompt", DEFAULT_SYSTEM_PROMPT))

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Number of tokens of the prompt these messages make."""
        return len(encode_prompt(messages, self.tokenizer))

    def warm_up(self) -> None:
        """Read the system prompt ahead, so that the first question pays for itself alone.

        Raises:
            ModelError: the model failed.
        """
        messages = [Message("system", self.system_prompt)] if self.system_prompt.strip() else []
        prompt, _ = encode_conversation(messages, self.tokenizer)
        if 0 < len(prompt) < self.context_length:
            with self._lock:
                self.generator.read(prompt, Event())

    def find_entries(self, questions: Sequence[str]) -> list[tuple[HandbookEntry, float]]:
        """Return the handbook's entries for the last question; see ``ReadsHandbook``.

        A sum is worked out here: its entry says the result.
        """
        if self._handbook is None or not self.use_handbook:
            return []
        if questions and (result := worked_out(questions[-1])):
            return [(HandbookEntry(SUM, "sum/worked-out", questions[-1], result), 1.0)]
        return [(found.entry, found.score) for found in self._handbook.get().find(questions)]

    def find_passages(
        self, questions: Sequence[str], notes: Sequence[Note]
    ) -> list[tuple[int, Note]] | None:
        """Return the passages the last question is about; see ``FindsPassages``."""
        if self._handbook is None:
            return None
        return self._handbook.get().reader.find(questions, notes)

    def tokens(self, messages: Sequence[Message]) -> list[tuple[str, bool]]:
        """Text of each token of the prompt these messages make; see ``ShowsTokens``."""
        names = {number: name for name, number in self.bundle.tokenizer_spec.special_tokens.items()}
        return [
            (names[i], True) if i in names else (self.tokenizer.decode([i]), False)
            for i in encode_prompt(messages, self.tokenizer)
        ]

    def _guard(self, messages: Sequence[Message]) -> InventionGuard:
        # answers as well: what was said before was guarded then, or typed by the person
        given = [m.content if m.role == "assistant" else own_words(m.content) for m in messages]
        return InventionGuard(GivenFacts(given), lambda token: self.tokenizer.decode_bytes([token]))

    def _copying(self, asked: str, bonus: float) -> CopyBonus | None:
        source = self.tokenizer.encode(quotable(asked))
        if not bonus or not source:
            return None
        about_notes = is_about_notes(asked)

        def excepted(token: int) -> bool:
            # a sentence taken from a note is cited before it ends, and the next one is not asked
            text = self.tokenizer.decode([token])
            return about_notes and any(sign in text for sign in ".!?;\n")

        return CopyBonus(source, bonus, excepted)

    def stream(
        self, messages: Sequence[Message], options: GenerationOptions, cancel: Event
    ) -> Iterator[Chunk | Completion]:
        """Yield the answer's text as it comes, then a Completion; see ``ChatModel``."""
        prompt = encode_prompt(messages, self.tokenizer)
        asked = next((m.content for m in reversed(messages) if m.role == "user"), "")
        quotes = Quotes(asked if options.quote_notes else "")
        # an answer that is continued may go on with a space
        begun = bool(messages) and messages[-1].role == "assistant"
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        stops = StopSequences(options.stop)
        said: list[str] = []
        count = 0
        stopped = False
        reason: StopReason
        started = time.perf_counter()
        first = last = started
        with self._lock:
            guard = self._guard(messages) if options.given_facts_only else None
            copying = self._copying(asked, options.copy_bonus)
            bonus: Bonus | None = copying
            if quotes.sentences:
                bonus = CitationBonus(quotes, copying, self.tokenizer.encode, self.tokenizer.decode)
            tokens = self.generator.generate(
                prompt, options, self._stop_tokens, cancel, guard, bonus
            )
            while not stopped:
                try:
                    token = next(tokens)
                except StopIteration as stop:
                    reason = stop.value
                    break
                last = time.perf_counter()
                first = last if count == 0 else first
                count += 1
                text = sanitize(decoder.decode(self.tokenizer.decode_bytes([token])))
                if not begun:
                    text = text.lstrip()
                    begun = bool(text)
                text, stopped = stops.feed(text)
                if text:
                    said.append(text)
                    yield Chunk(text)
            else:
                tokens.close()
                reason = "end"
        rest = "" if stopped else stops.feed(sanitize(decoder.decode(b"", final=True)))[0]
        rest += stops.rest()
        if rest:
            said.append(rest)
            yield Chunk(rest)
        if reason == "end":
            for sentence in quotes.left_out("".join(said)):
                said.append(f" {sentence}")
                yield Chunk(f" {sentence}")
        yield Completion(
            text="".join(said),
            stop_reason=reason,
            prompt_tokens=len(prompt),
            output_tokens=count,
            time_to_first_token_ms=1000 * ((first if count else time.perf_counter()) - started),
            tokens_per_second=(count - 1) / (last - first) if count > 1 else 0.0,
        )


def load_chat_model(name: str, threads: int | None = None, speculate: bool = True) -> OnnxChatModel:
    """Load the chat model of a bundle given by name or path.

    Args:
        threads: to compute with; None takes the cores there are.
        speculate: check guessed tokens together; the answers are the same.

    Raises:
        ModelError: missing, damaged, newer than this program, or no chat model.
    """
    return OnnxChatModel(find_bundle(name, "chat"), threads, speculate)
