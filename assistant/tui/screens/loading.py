"""What is loaded while one can write already: the plugins, and the model, again when another is
wanted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from textual import on

from assistant.chat import ChatModel
from assistant.errors import AssistantError, unexpected
from assistant.tui.facts import ModelFailed, ModelLoaded, PluginsLoaded, Warned
from assistant.tui.screens.rooms import RoomsScreen
from assistant.tui.widgets.notice import Notice

if TYPE_CHECKING:
    from assistant.tui.app import Plugins

LoadModel = Callable[[], ChatModel]


class LoadingScreen(RoomsScreen):
    """The rooms with a model in them.

    Attributes:
        plugins_loaded: whether what they add is there.
        model: None until it is loaded.
        model_error: why it is not, None while it is being loaded.
    """

    def __init__(self, load_model: LoadModel, plugins: Plugins) -> None:
        super().__init__(plugins)
        self.plugins_loaded = False
        self.model: ChatModel | None = None
        self.model_error: AssistantError | None = None
        self._load_model = load_model

    # --- plugins -------------------------------------------------------------------------

    def load_plugins(self) -> None:
        """Import the plugins on a worker thread."""
        self.run_worker(self._import_plugins, name="plugins", thread=True, exit_on_error=False)

    def _import_plugins(self) -> None:
        self.plugins.slash_commands()
        self.post_message(PluginsLoaded())

    @on(PluginsLoaded)
    async def _plugins_loaded(self) -> None:
        self.slash.add(self.plugins.slash_commands())
        self.plugins_loaded = True
        await self.plugins_came()

    async def plugins_came(self) -> None:
        """What waited for the plugins goes on."""

    @on(Warned)
    async def _warned(self, fact: Warned) -> None:
        await self.transcript.note(Notice(fact.line, kind="problem"))

    # --- the model -----------------------------------------------------------------------

    def load_model(self, load: LoadModel | None = None) -> None:
        """Load the model, or another one, on a worker thread."""
        self._load_model = load or self._load_model
        self.model_error = None
        self.status.change(model="", state="loading the model")
        work = partial(self._load_and_tell, self._load_model)
        self.run_worker(work, name="model", thread=True, exit_on_error=False)

    def _load_and_tell(self, load: LoadModel) -> None:
        try:
            self.post_message(ModelLoaded(load()))
        except AssistantError as error:
            self.post_message(ModelFailed(error))
        except Exception as error:  # the history stays readable whatever a bundle does
            self.post_message(ModelFailed(unexpected("The model cannot be loaded", error)))

    @on(ModelLoaded)
    async def _model_loaded(self, fact: ModelLoaded) -> None:
        self.model = fact.model
        self.status.change(model=fact.model.name, state="ready", window=fact.model.context_length)
        await self.model_came()
        self.refresh_bindings()

    @on(ModelFailed)
    async def _model_failed(self, fact: ModelFailed) -> None:
        if self.model is not None:  # another one was wanted; this one still answers
            self.status.change(model=self.model.name, state="ready")
            self.complain(fact.error)
            return
        self.model_error = fact.error
        self.status.change(model="", state="no model", window=0)
        await self.model_failed()
        await self.transcript.note(Notice.problem(fact.error))
        self.refresh_bindings()

    async def model_came(self) -> None:
        """What waited for the model goes on."""

    async def model_failed(self) -> None:
        """What waited for the model comes back."""

    def resting_state(self) -> str:
        """What the status says while nothing is being answered."""
        if self.model is not None:
            return "ready"
        return "loading the model" if self.model_error is None else "no model"
