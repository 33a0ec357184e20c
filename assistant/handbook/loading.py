"""A bundle's handbook, opened on a thread of its own while the model loads."""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING

from assistant.errors import AssistantError, ModelError

if TYPE_CHECKING:
    from assistant.bundle import Bundle
    from assistant.handbook.search import Handbook


class HandbookLoader:
    """Opens the handbook at once and waits for it when it is asked for."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._handbook: Handbook | None = None
        self._error: AssistantError | None = None
        self._thread = Thread(target=self._load, name="handbook", daemon=True)
        self._thread.start()

    def _load(self) -> None:
        from assistant.handbook.search import Handbook

        try:
            self._handbook = Handbook.load(self._bundle.directory, self._bundle.handbook)
        except AssistantError as error:
            self._error = error
        except Exception as error:  # said where the handbook is asked for, not on this thread
            self._error = ModelError(f"The handbook cannot be loaded ({error!r})")

    def get(self) -> Handbook:
        """Return the handbook; raises ModelError when it could not be opened."""
        self._thread.join()
        if self._handbook is None:
            raise self._error or ModelError("The handbook cannot be loaded")
        return self._handbook
