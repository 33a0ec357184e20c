"""The plugin as its host meets it."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

import plugins.email_spam as plugin
from assistant.plugin_api import BadInputError, Report
from tests.support.words import WordClassifier

MAIL = "From: Prize <a@b.example>\nSubject: You won\n\nSend the lottery fee. Collect your prize."


def test_the_detector_hands_over_to_the_analyzer(classifier: WordClassifier) -> None:
    (detector,) = plugin.register_detectors()
    (analyzer,) = plugin.register_analyzers()
    assert detector.analyzer == analyzer.name
    assert detector.matches(MAIL) >= 0.5
    progress: list[float] = []
    report = analyzer.analyze(MAIL, progress.append, threading.Event())
    assert report.verdict == "spam"
    assert progress == sorted(progress)
    assert progress[-1] == 1.0


def test_a_cancelled_analysis_skips_the_explanation(classifier: WordClassifier) -> None:
    (analyzer,) = plugin.register_analyzers()
    cancel = threading.Event()
    cancel.set()
    analyzer.analyze(MAIL, lambda fraction: None, cancel)
    assert len(classifier.texts) == 1


def test_the_slash_command_checks_a_file(classifier: WordClassifier, samples: Path) -> None:
    (command,) = plugin.register_slash_commands()
    report = command.run(f' "{samples / "personal.eml"}" ')
    assert isinstance(report, Report)
    assert report.verdict == "ham"


@pytest.mark.parametrize("argument", ["missing.eml", "inbox.mbox"])
def test_the_slash_command_says_what_it_needs(
    classifier: WordClassifier, samples: Path, argument: str
) -> None:
    (command,) = plugin.register_slash_commands()
    with pytest.raises(BadInputError) as caught:
        command.run(str(samples / argument))
    assert caught.value.hint


def test_registering_imports_nothing_heavy() -> None:
    code = (
        "import sys, plugins.email_spam as p\n"
        "p.register_commands(); p.register_detectors(); p.register_analyzers()\n"
        "p.register_slash_commands(); p.register_detectors()[0].matches('From: a@b')\n"
        "heavy = {'email.parser', 'selectolax', 'numpy', 'onnxruntime', 'textual'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    root = Path(__file__).parents[3]
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True
    )
    assert result.stdout == "[]\n"
