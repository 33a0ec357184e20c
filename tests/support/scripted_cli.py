"""The command line in a process of its own, over a scripted model.

``python -m tests.support.scripted_cli KIND [ARGUMENT]...``; KIND as in ``scripted_app``.
"""

from __future__ import annotations

import sys

import assistant.engine.chat_model
from assistant.cli.main import main
from tests.support.scripted_app import model

if __name__ == "__main__":
    assistant.engine.chat_model.load_chat_model = lambda _name: model(sys.argv[1])  # type: ignore[assignment,return-value]
    sys.exit(main(sys.argv[2:]))
