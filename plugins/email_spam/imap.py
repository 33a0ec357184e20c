"""Messages of a folder on the person's own mail server (IMAP4rev1, RFC 3501), read only.

The one part of the assistant that uses a network, and only for an address that was typed:
``imaps://USER@HOST[:PORT]/FOLDER`` (TLS from the start) or ``imap://...`` (STARTTLS, RFC 2595;
without TLS only on this computer). The folder is opened with EXAMINE and messages are fetched
with BODY.PEEK, so nothing on the server changes, not even which mail counts as read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from assistant.plugin_api import AssistantError, BadInputError, sanitize_line
from plugins.email_spam.mailbox import OnError
from plugins.email_spam.reading import MAX_BYTES

if TYPE_CHECKING:
    import imaplib

    from plugins.email_spam.scanning import Message

KEYRING_SERVICE = "frontdesk-imap"
TIMEOUT = 60  # seconds without an answer
_LOCAL = {"localhost", "127.0.0.1", "::1"}
_FORM = "Write imaps://USER@HOST/FOLDER, for example imaps://ana@mail.sol.example/INBOX"
_UID_VALIDITY = re.compile(rb"^\d{1,10}$")


@dataclass(frozen=True)
class ImapFolder:
    """Where a folder is; ``encrypted`` from the first byte on."""

    user: str
    host: str
    port: int
    folder: str
    encrypted: bool

    @property
    def name(self) -> str:
        """The address without anything secret in it."""
        scheme = "imaps" if self.encrypted else "imap"
        return f"{scheme}://{self.user}@{self.host}/{self.folder}"


def parse_address(address: str) -> ImapFolder:
    """Read an imap:// or imaps:// address (RFC 5092, its simplest form).

    Raises:
        BadInputError: something is missing, or a password stands in it.
    """
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise BadInputError(
            f"{sanitize_line(address, 100)} is no address ({error})", _FORM
        ) from error
    if parts.password is not None:
        raise BadInputError(
            "A password in an address ends up in histories and process lists",
            "Leave it out: it is asked for, or read from the keyring",
        )
    user, host = unquote(parts.username or ""), parts.hostname or ""
    folder = unquote(parts.path.strip("/")) or "INBOX"
    if not user or not host or any(ord(c) < 32 or ord(c) == 127 for c in user + host + folder):
        raise BadInputError(f"{sanitize_line(address, 100)} names no user or host", _FORM)
    encrypted = parts.scheme == "imaps"
    return ImapFolder(user, host, port or (993 if encrypted else 143), folder, encrypted)


def find_password(place: ImapFolder) -> str:
    """Return the password from the keyring, if that package is here and knows it, or ask.

    Raises:
        AssistantError: there is nobody to ask.
    """
    try:
        import keyring

        stored = keyring.get_password(KEYRING_SERVICE, f"{place.user}@{place.host}")
    except Exception:  # a keyring that is locked or has no backend is like none
        stored = None
    if stored:
        return str(stored)
    import sys

    import click

    if not sys.stdin.isatty():
        raise AssistantError(
            f"There is no password for {place.user}@{place.host} in the keyring, and no terminal "
            "to ask for it",
            f"Store it: keyring set {KEYRING_SERVICE} {place.user}@{place.host}",
        )
    return str(click.prompt(f"Password of {place.user} on {place.host}", hide_input=True, err=True))


def imap_messages(
    address: str,
    on_error: OnError,
    password: Callable[[ImapFolder], str] = find_password,
) -> Iterator[Message]:
    """Yield the messages of a folder, oldest first; each is fetched when it is loaded.

    A message's digest comes from server, folder, UIDVALIDITY and UID, which together never name
    another message (RFC 3501, 2.3.1.1): what is known already is not fetched again.

    Raises:
        AssistantError: the server cannot be reached, or refuses.
        BadInputError: the address is none, or there is no such folder.
    """
    import imaplib

    from plugins.email_spam.scanning import Message

    place = parse_address(address)
    with _Problems(place):
        connection = _connect(place)
    try:
        with _Problems(place):
            connection.login(_quoted(place.user), password(place))
        with _Problems(place):
            status, _ = connection.select(_quoted(place.folder), readonly=True)
            if status != "OK":
                raise BadInputError(f"There is no folder {place.folder} on {place.host}")
            validity = (connection.response("UIDVALIDITY")[1] or [b""])[0] or b""
            _, found = connection.uid("search", "ALL")
        uids = [uid for uid in (found[0] or b"").split() if uid.isdigit()]
        for uid in uids:
            key = b"\0".join([place.name.encode(), bytes(validity), uid])
            digest = hashlib.blake2b(key, digest_size=16, person=b"imap").digest()
            if not _UID_VALIDITY.match(bytes(validity)):
                digest = hashlib.blake2b(key, digest_size=16, salt=b"unstable").digest()
            source = f"{place.name};UID={uid.decode()}"
            yield Message(source, digest, partial(_fetch, connection, place, uid), remote=True)
    finally:
        try:
            connection.logout()
        except (imaplib.IMAP4.error, OSError):
            connection.shutdown()


def _connect(place: ImapFolder) -> imaplib.IMAP4:
    import imaplib
    import ssl

    class Plain(_Bounded, imaplib.IMAP4):
        """Until STARTTLS."""

    class Encrypted(_Bounded, imaplib.IMAP4_SSL):
        """TLS from the first byte."""

    context = ssl.create_default_context()
    if place.encrypted:
        return Encrypted(place.host, place.port, ssl_context=context, timeout=TIMEOUT)
    connection = Plain(place.host, place.port, timeout=TIMEOUT)
    if "STARTTLS" in connection.capabilities:
        connection.starttls(ssl_context=context)
    elif place.host not in _LOCAL:
        connection.shutdown()
        raise AssistantError(
            f"{place.host} offers no encryption on this port, so no password is sent",
            "Use imaps:// instead",
        )
    return connection


class _Bounded:
    """Refuses an answer larger than any message that is read: servers may be hostile too."""

    def read(self, size: int) -> bytes:
        """Read a literal of the announced size."""
        if size > MAX_BYTES + 1_000_000:
            raise OSError("the server announced more than any message")
        data: bytes = super().read(size)  # type: ignore[misc]
        return data


def _fetch(connection: imaplib.IMAP4, place: ImapFolder, uid: bytes) -> bytes:
    with _Problems(place):
        _, answer = connection.uid("fetch", uid.decode(), f"(BODY.PEEK[]<0.{MAX_BYTES + 1}>)")
    parts: list[Any] = answer or []
    for part in parts:
        if isinstance(part, tuple) and len(part) > 1:
            return bytes(part[1])
    raise BadInputError(f"{place.name};UID={uid.decode()} is no longer there")


class _Problems:
    """Turns what imaplib and sockets raise into one line for people."""

    def __init__(self, place: ImapFolder) -> None:
        self._place = place

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Raise AssistantError in place of a library's error."""
        import imaplib

        if isinstance(error, imaplib.IMAP4.error):
            reason = sanitize_line(str(error).removeprefix("b'").removesuffix("'"), 200)
            raise AssistantError(f"{self._place.host} refused: {reason}") from error
        if isinstance(error, OSError):
            reason = sanitize_line(str(error), 200)
            raise AssistantError(
                f"{self._place.host} cannot be reached ({reason})", "Check the address"
            ) from error


def _quoted(text: str) -> str:
    """Return an IMAP quoted string: no character of it ends the command."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
