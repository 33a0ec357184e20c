"""A mail as the rest of the plugin sees it: decoded text and facts, no MIME."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Link:
    """A link of the body: what it shows and where it leads."""

    text: str
    target: str


@dataclass(frozen=True)
class Attachment:
    """An attachment, listed and never opened; ``size`` is in bytes, estimated before decoding."""

    name: str
    type: str
    size: int


@dataclass(frozen=True)
class Mail:
    """A decoded message.

    Attributes:
        sender_name: display name of From.
        sender_address: address of From, local part and domain.
        reply_to: address of Reply-To, or empty.
        date: the Date header as it stands.
        body: what a reader sees, as text; an HTML link reads ``text <target>``.
        links: links of the body, in order, each target and text once.
        hidden: text that the HTML keeps from the reader's eyes.
        images: number of pictures.
        notes: what was not read, or had to be guessed, in plain words.
        source: where it was read from, e.g. ``inbox.mbox#3``.
    """

    sender_name: str = ""
    sender_address: str = ""
    reply_to: str = ""
    subject: str = ""
    date: str = ""
    body: str = ""
    links: tuple[Link, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    hidden: str = ""
    images: int = 0
    notes: tuple[str, ...] = ()
    source: str = ""

    @property
    def sender_domain(self) -> str:
        """Domain of the sender's address in lower case, or empty."""
        return domain_of(self.sender_address)

    @property
    def reply_to_domain(self) -> str:
        """Domain of the Reply-To address in lower case, or empty."""
        return domain_of(self.reply_to)


def domain_of(address: str) -> str:
    """Return the domain of an address in lower case, without a final dot; empty if it has none."""
    return address.rpartition("@")[2].strip(" .>").lower() if "@" in address else ""
