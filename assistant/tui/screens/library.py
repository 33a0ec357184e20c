"""All conversations: begun, found, renamed, pinned, taken along, deleted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from textual import on

from assistant.errors import AssistantError, BadInputError
from assistant.history import History
from assistant.text import sanitize_line
from assistant.tui.screens.messages import MessagesScreen
from assistant.tui.screens.rooms import WIDE
from assistant.tui.widgets.sidebar import UNTITLED, Sidebar

if TYPE_CHECKING:
    from assistant.tui.screens.search import Found


class LibraryScreen(MessagesScreen):
    """The conversation among all others."""

    async def action_new(self) -> None:
        """Start a new conversation."""
        await self.go_to(None)

    action_clear = action_new

    async def action_private(self) -> None:
        """Start a conversation that is kept in memory alone, or leave it."""
        if self.store is not self.history:
            await self.go_to(None)
            return
        await self._leave_store()
        self.store = History(None)
        await self.open_conversation(None)
        self._hide_overlay()
        self.desk.composer.focus()

    async def go_to(self, conversation_id: str | None, at: str = "") -> None:
        """Open a kept conversation, or an empty one; a private one ends."""
        self.leave_checks()
        if self.store is not self.history:
            await self._leave_store()
            await self.open_conversation(conversation_id, at)
        elif conversation_id is None or conversation_id != self.conversation_id or at:
            await self.open_conversation(conversation_id, at)
        self._hide_overlay()
        if at:
            self.transcript.focus(scroll_visible=False)
        else:
            self.desk.composer.focus()

    def leave_checks(self) -> None:
        """Cancel what runs for the conversation that is left."""

    async def _leave_store(self) -> None:
        """A private conversation ends with its memory."""
        self._answering.abandon()
        self.desk.stop_editing()
        if self.store is not self.history:
            self.store.close()
            self.store = self.history
            self.app.notify("The private conversation is gone", timeout=3, markup=False)

    def _hide_overlay(self) -> None:
        if self.app.size.width < WIDE:
            self.sidebar.display = False

    # --- the list ------------------------------------------------------------------------

    def action_toggle_sidebar(self) -> None:
        """Show or hide the list of conversations."""
        if self.sidebar.display:
            self.sidebar.display = False
            self.desk.composer.focus()
        else:
            self.action_history()

    def action_history(self) -> None:
        """Go to the list of conversations."""
        self.sidebar.display = True
        self.sidebar.focus_list()

    @on(Sidebar.Chosen)
    async def _conversation_chosen(self, event: Sidebar.Chosen) -> None:
        await self.go_to(event.conversation_id)

    @on(Sidebar.Wanted)
    def _wanted_in_list(self, event: Sidebar.Wanted) -> None:
        if event.action == "delete":
            self._ask_to_delete(event.conversation_id)
        elif event.action == "rename":
            self._ask_to_rename(event.conversation_id)
        else:
            self._toggle_pin(event.conversation_id)

    def action_search(self, query: str = "") -> None:
        """Search all conversations."""
        from assistant.tui.screens.search import SearchScreen

        async def opened(found: Found | None) -> None:
            if found is not None:
                with self.problems_shown():
                    branch = [m.id for m in self.history.messages(found.conversation_id)]
                    if found.message_id not in branch:
                        self.history.select(found.message_id)
                await self.go_to(found.conversation_id, found.message_id)

        self.app.push_screen(SearchScreen(self.history, query), opened)

    # --- one of them ---------------------------------------------------------------------

    def _kept(self, what: str) -> str | None:
        """Return the open conversation's id; say why there is none."""
        if self.conversation_id is None:
            self.app.notify(f"There is nothing to {what} yet", markup=False)
        elif self.store is not self.history and what in {"pin", "rename", "delete"}:
            self.app.notify("A private conversation is in no list", markup=False)
            return None
        return self.conversation_id

    def action_rename(self, title: str = "") -> None:
        """Rename the conversation."""
        conversation_id = self._kept("rename")
        if conversation_id is None:
            return
        if title:
            self._rename(conversation_id, title)
        else:
            self._ask_to_rename(conversation_id)

    def _rename(self, conversation_id: str, title: str) -> None:
        with self.problems_shown():
            self.history.rename(conversation_id, title)
        self.conversation_changed()

    def _ask_to_rename(self, conversation_id: str) -> None:
        from assistant.tui.screens.rename import RenameScreen

        def answered(title: str | None) -> None:
            if title:
                self._rename(conversation_id, title)

        with self.problems_shown():
            title = self.history.conversation(conversation_id).title
            self.app.push_screen(RenameScreen(title), answered)

    def action_pin(self) -> None:
        """Keep the conversation at the top of the list, or let it go back to its day."""
        conversation_id = self._kept("pin")
        if conversation_id is not None:
            self._toggle_pin(conversation_id)

    def _toggle_pin(self, conversation_id: str) -> None:
        with self.problems_shown():
            pinned = not self.history.conversation(conversation_id).pinned
            self.history.pin(conversation_id, pinned)
            self.app.notify("Pinned" if pinned else "No longer pinned", timeout=2, markup=False)
        self.conversation_changed()

    def action_delete(self) -> None:
        """Delete the conversation for good, after a question."""
        conversation_id = self._kept("delete")
        if conversation_id is not None:
            self._ask_to_delete(conversation_id)

    def _ask_to_delete(self, conversation_id: str) -> None:
        from assistant.tui.screens.confirm import ConfirmScreen

        async def answered(agreed: bool | None) -> None:
            if not agreed:
                return
            if conversation_id == self.conversation_id:
                await self.open_conversation(None)
            with self.problems_shown():
                self.history.delete(conversation_id)
            self.conversation_changed()
            self.desk.composer.focus()

        with self.problems_shown():
            title = self.history.conversation(conversation_id).title or UNTITLED
            question = f"Delete “{sanitize_line(title, 40)}”?"
            detail = "Its text is removed from the database. This cannot be undone."
            self.app.push_screen(ConfirmScreen(question, detail, "Delete"), answered)

    # --- files ---------------------------------------------------------------------------

    def action_export(self, argument: str = "") -> None:
        """Write the conversation to a file; no file is ever replaced."""
        from assistant.history.export import exported
        from assistant.history.files import export_target, free_path, slug

        conversation_id = self._kept("export")
        if conversation_id is None:
            return
        with self.problems_shown():
            form, path = export_target(argument)
            title = self.store.conversation(conversation_id).title
            path = free_path(path, form, slug(title))
            try:
                with path.open("x", encoding="utf-8") as file:
                    file.write(exported(self.store, conversation_id, form))
            except OSError as error:
                raise AssistantError(f"{path} cannot be written ({error.strerror})") from error
            self.app.notify(f"Written to {path}", markup=False)

    def action_import(self, argument: str = "") -> None:
        """Add the conversations of a JSON export."""
        from assistant.history.importing import import_json

        with self.problems_shown():
            path = Path(argument.strip("'\" ")).expanduser()
            try:
                text = path.read_text(encoding="utf-8", errors="replace")
            except OSError as error:
                raise BadInputError(f"{path} cannot be read ({error.strerror})") from error
            imported = import_json(self.history, text)
            known = f", {imported.known} were there already" if imported.known else ""
            self.app.notify(f"{len(imported.ids)} conversations added{known}", markup=False)
        self.conversation_changed()
