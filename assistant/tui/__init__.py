"""The terminal interface: screens and widgets over a chat session (Textual)."""
