"""What a person reads of an error holds nothing that a terminal would obey."""

from __future__ import annotations

import pytest

from assistant.errors import AssistantError, ModelError, unexpected


@pytest.mark.parametrize("kind", [AssistantError, ModelError])
def test_no_control_character_of_a_name_reaches_the_terminal(kind: type[AssistantError]) -> None:
    error = kind("No file \x1b]0;owned\x07.txt", "See \x9b31m/tmp\x00")
    for text in (str(error), error.message, error.hint):
        assert not any(sign in text for sign in "\x1b\x07\x9b\x00")
    assert error.message == "No file ]0;owned.txt"


def test_an_unforeseen_error_is_quoted_without_its_control_characters() -> None:
    error = unexpected("It failed", RuntimeError("the engine\x1b[31m broke"))
    assert error.message == "It failed (RuntimeError: the engine[31m broke)"
