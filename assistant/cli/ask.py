"""``assistant ask``: one question, one answer."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from assistant.cli.common import model_option, note, open_history, print_json
from assistant.cli.common import warn as warn_line
from assistant.errors import AssistantError, BadInputError, ExitCode, StorageError
from assistant.interrupt import stop_on_interrupt
from assistant.text import sanitize

if TYPE_CHECKING:
    from collections.abc import Generator
    from threading import Event

    from assistant.chat import ChatModel, Chunk, Completion, GenerationOptions
    from assistant.history import History
    from assistant.session import ChatSession

# More than any model's window; it keeps an endless pipe from filling the memory.
LONGEST_INPUT = 4 * 2**20


def _finite(_ctx: click.Context, _parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise click.BadParameter("it must be a finite number")
    return value


@click.command()
@click.argument("prompt", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--no-history", is_flag=True, help="Store nothing.")
@click.option("--conversation", metavar="ID", help="Go on with a conversation.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Longest answer, in tokens.")
@click.option(
    "--temperature",
    type=click.FloatRange(min=0),
    callback=_finite,
    help="0 always takes the most probable token.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Of the sampler, to repeat an answer.")
@click.option("--stop", multiple=True, metavar="TEXT", help="End where this would be said.")
@model_option
@click.option("--system", metavar="TEXT", help="Use another system prompt; '' sends none.")
@click.option(
    "--note",
    "note_files",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Answer from this text, cited as [n]; its first line is its title. May be repeated.",
)
@click.option("--no-handbook", is_flag=True, help="Answer without looking into the handbook.")
def ask(
    prompt: str | None,
    as_json: bool,
    no_history: bool,
    conversation: str | None,
    max_tokens: int | None,
    temperature: float | None,
    seed: int | None,
    stop: tuple[str, ...],
    model_name: str,
    system: str | None,
    note_files: tuple[Path, ...],
    no_handbook: bool,
) -> int:
    """Answer one question.

    The question is PROMPT, or what is piped in, or both: PROMPT, an empty line, the pipe's
    text. The answer is streamed to stdout.
    """
    from assistant.conversation import grounded_question
    from assistant.engine.chat_model import load_chat_model
    from assistant.handbook.reading import leave_handbook
    from assistant.notes import cited_notes, read_note

    if no_history and conversation:
        raise click.UsageError("--conversation reads the history that --no-history leaves out")
    question = read_question(prompt)
    notes = [read_note(path) for path in note_files]
    if notes:
        question = grounded_question(question, notes)
    model = load_chat_model(model_name)
    if no_handbook:
        leave_handbook(model)
    options = model.options.updated(max_tokens=max_tokens, temperature=temperature, seed=seed)
    options = options.updated(stop=stop or None)
    history = _open(conversation, private=no_history)
    try:
        with stop_on_interrupt() as cancel:
            session, completion = _answer(
                history, model, options, system, conversation, question, cancel, as_json
            )
    finally:
        history.close()
    if as_json:
        sources = cited_notes(completion.text, notes) or [s.to_json() for s in session.sources]
        print_json(_as_json(session, model, completion, sources))
    _say_what_matters(session, completion)
    return ExitCode.INTERRUPTED if completion.stop_reason == "stopped" else ExitCode.DONE


def read_question(prompt: str | None) -> str:
    """Put the argument and what is piped in together.

    Raises:
        BadInputError: both are empty, or the pipe carries more than any model reads.
    """
    parts = [] if prompt in (None, "-") else [str(prompt)]
    if sys.stdin is not None and not sys.stdin.closed and not sys.stdin.isatty():
        piped = sys.stdin.read(LONGEST_INPUT + 1)
        if len(piped) > LONGEST_INPUT:
            raise BadInputError(
                f"The input is longer than {LONGEST_INPUT} characters", "Give a part of it"
            )
        parts.append(piped)
    question = "\n\n".join(part.strip() for part in parts if part.strip())
    if not question:
        raise BadInputError(
            "The question is empty", 'Try: assistant ask "How do I reset my password?"'
        )
    return question


def _open(conversation: str | None, private: bool) -> History:
    from assistant.history import History

    if private:
        return History(None)
    try:
        return open_history()
    except StorageError as error:
        if conversation:
            raise  # without what was said before, the answer would be to another question
        warn_line(f"{error} (this answer will not be stored)")
        return History(None)


def _answer(
    history: History,
    model: ChatModel,
    options: GenerationOptions,
    system: str | None,
    conversation: str | None,
    question: str,
    cancel: Event,
    quiet: bool,
) -> tuple[ChatSession, Completion]:
    from assistant.history import History
    from assistant.session import ChatSession

    session = ChatSession(history, model, options, system, conversation)
    try:
        events = session.ask(question, cancel)
    except StorageError as error:
        if conversation:
            raise
        warn_line(f"{error} (this answer will not be stored)")
        session = ChatSession(History(None), model, options, system)
        events = session.ask(question, cancel)
    return session, stream_to_stdout(events, quiet)


def stream_to_stdout(
    events: Generator[Chunk | Completion, None, None], quiet: bool = False
) -> Completion:
    """Write an answer as it comes, ended by a newline; return its completion.

    Raises:
        AssistantError: the stream ended without one.
    """
    from assistant.chat import Completion

    completion: Completion | None = None
    last = ""
    try:
        for event in events:
            if isinstance(event, Completion):
                completion = event
            elif not quiet:
                last = sanitize(event.text) or last
                click.echo(last, nl=False)
    finally:
        events.close()  # if stdout failed, what was said is stored now, while the history is open
        if not quiet and last and not last.endswith("\n"):
            click.echo()
    if completion is None:
        raise AssistantError("The model ended its answer without saying why")
    return completion


def _as_json(
    session: ChatSession, model: ChatModel, completion: Completion, sources: list[dict[str, Any]]
) -> dict[str, Any]:
    stored = session.history.path is not None
    return {
        "text": completion.text,
        "model": model.name,
        "prompt_tokens": completion.prompt_tokens,
        "output_tokens": completion.output_tokens,
        "time_to_first_token_ms": round(completion.time_to_first_token_ms, 3),
        "tokens_per_second": round(completion.tokens_per_second, 3),
        "stop_reason": completion.stop_reason,
        "conversation_id": session.conversation_id if stored else None,
        "sources": sources,
    }


def _say_what_matters(session: ChatSession, completion: Completion) -> None:
    if session.handbook_error is not None:
        warn_line(f"{session.handbook_error} (answered without the handbook)")
    if session.dropped_messages:
        note(f"the {session.dropped_messages} oldest messages no longer fit the model's window")
    if completion.stop_reason == "length":
        note(f"the answer was cut at {completion.output_tokens} tokens (--max-tokens)")
    if completion.stop_reason == "context":
        note("the answer was cut because the model's window is full")
    if session.storage_error is not None:
        warn_line(f"{session.storage_error} (the answer was not stored in full)")
