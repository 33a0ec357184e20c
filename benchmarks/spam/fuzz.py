"""Coverage-guided fuzzing of everything that touches a hostile mail before the model does.

    pip install atheris
    python -m benchmarks.spam.fuzz -max_total_time=600 -timeout=10 -rss_limit_mb=1500 CORPUS

CORPUS is a folder for what the fuzzer finds; it starts from tests/data; a file in its place is
run alone. The arguments are libFuzzer's (https://llvm.org/docs/LibFuzzer.html). An exception
other than BadInputError, a control character that gets through, a filter that changes a message,
ten seconds or 1.5 GB on one input end the run, with the input saved as CORPUS-crash-... or the
like.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["plugins", "email"]):
    from assistant.plugin_api import BadInputError, Score, sanitize
    from plugins.email_spam.canonical import canonical_text
    from plugins.email_spam.checking import quotation
    from plugins.email_spam.detector import email_confidence
    from plugins.email_spam.facts import facts
    from plugins.email_spam.filtering import HEADER, filtered
    from plugins.email_spam.mail import Mail
    from plugins.email_spam.reading import read_message, read_pasted
    from plugins.email_spam.scanning import day_of

SEEDS = Path(__file__).parents[2] / "tests" / "data"


class _Even:
    """Gives every text the same probability: the model is not what is fuzzed."""

    name, threshold, unsure = "email-spam", 0.9, (0.3, 0.9)

    def score(self, texts: Sequence[str]) -> list[Score]:
        return [Score(0.5, (0.5,), 1) for _ in texts]


def one_input(data: bytes) -> None:
    """Read one message in both ways, and check what must hold for any bytes."""
    try:
        _look_at(read_message(data, "fuzz"))
    except BadInputError:
        pass
    else:
        output = filtered(data, _Even())
        assert output.count(HEADER + b": unsure") >= 1, "the filter added no header"
        body = data.partition(b"\n\n")[2]
        assert output.endswith(body), "the filter changed the body"
    text = data.decode("utf-8", "replace")
    email_confidence(text)
    try:
        _look_at(read_pasted(text))
    except BadInputError:
        return


def _look_at(mail: Mail) -> None:
    lines = [mail.sender_name, mail.sender_address, mail.reply_to, mail.subject, mail.date]
    lines += [attachment.name for attachment in mail.attachments]
    lines += [evidence.text + evidence.quote for evidence in facts(mail)]
    for line in lines:
        assert line == sanitize(line), "a control character got through"
        assert "\n" not in line, "a line break got through"
    for text in (mail.body, mail.hidden, canonical_text(mail), quotation(mail)):
        assert text == sanitize(text), "a control character got through"
    day_of(mail.date)


def main() -> None:
    """Hand over to libFuzzer."""
    arguments = sys.argv[:]
    named = [Path(argument) for argument in arguments[1:] if not argument.startswith("-")]
    if named and not named[0].is_file():
        corpus = named[0]
        corpus.mkdir(parents=True, exist_ok=True)
        for seed in SEEDS.iterdir():
            shutil.copy(seed, corpus / seed.name)
        # what it finds lies beside the corpus, not in the folder where it was started
        arguments.append(f"-artifact_prefix={corpus}-")
    atheris.Setup(arguments, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
