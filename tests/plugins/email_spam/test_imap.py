"""IMAP: addresses, and a scan of a real server (Dovecot) on the loopback interface."""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from assistant.plugin_api import AssistantError, BadInputError
from plugins.email_spam import imap
from plugins.email_spam.commands import spam
from plugins.email_spam.imap import ImapFolder, find_password, imap_messages, parse_address
from tests.support.words import WordClassifier

DOVECOT = shutil.which("dovecot", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
SCAM = b"From: A <a@b.example>\r\nSubject: s\r\n\r\nPay the lottery fee for your prize\r\n"
LETTER = b"From: G <g@h.example>\r\nSubject: t\r\n\r\nGrandma says thanks\r\n"
CONFIGURATION = """
base_dir = {home}/run
state_dir = {home}/run
log_path = {home}/log
ssl = no
disable_plaintext_auth = no
protocols = imap
listen = 127.0.0.1
{users}
mail_location = maildir:{home}/Maildir
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={home}
}}
first_valid_uid = 0
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service anvil {{
  chroot =
}}
"""


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("imaps://ana@mail.example/INBOX", ImapFolder("ana", "mail.example", 993, "INBOX", True)),
        ("imaps://ana%40x.example@mail.example", ImapFolder("ana@x.example", "mail.example", 993, "INBOX", True)),  # noqa: E501
        ("imap://ana@localhost:1143/Old%20mail/2024", ImapFolder("ana", "localhost", 1143, "Old mail/2024", False)),  # noqa: E501
    ],
)  # fmt: skip
def test_an_address_names_user_host_and_folder(address: str, place: ImapFolder) -> None:
    assert parse_address(address) == place


@pytest.mark.parametrize(
    "address",
    [
        "imaps://ana:secret@mail.example/INBOX", "imaps://mail.example", "imaps://ana@",
        "imaps://ana@mail.example:99999/x", "imaps://ana@mail.example/a%0d%0aDELETE",
        "imaps://a%00b@mail.example/x", "imaps://ana@[::1/x",
    ],
)  # fmt: skip
def test_an_address_without_a_user_or_with_a_secret_is_refused(address: str) -> None:
    with pytest.raises(BadInputError) as caught:
        parse_address(address)
    assert "secret" not in str(caught.value)


def test_nothing_of_a_name_can_end_an_imap_command() -> None:
    assert imap._quoted('a"b\\c') == '"a\\"b\\\\c"'


def test_the_keyring_is_asked_before_a_person(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = pytest.importorskip("keyring")
    place = parse_address("imaps://ana@mail.example")
    known = {("frontdesk-imap", "ana@mail.example"): "from the keyring"}
    monkeypatch.setattr(keyring, "get_password", lambda service, user: known.get((service, user)))
    assert find_password(place) == "from the keyring"
    known.clear()
    monkeypatch.setattr("sys.stdin", open(os.devnull))  # noqa: SIM115
    with pytest.raises(AssistantError, match="no terminal to ask"):
        find_password(place)


def test_an_answer_beyond_all_measure_is_refused() -> None:
    with pytest.raises(OSError, match="more than any message"):
        imap._Bounded().read(10**12)


def test_moving_on_a_server_is_refused(classifier: WordClassifier, tmp_path: Path) -> None:
    arguments = ["scan", "imap://ana@localhost/INBOX", "--move-spam", str(tmp_path / "x")]
    with pytest.raises(BadInputError, match="only read from"):
        CliRunner().invoke(spam, arguments, catch_exceptions=False)


@pytest.fixture
def server() -> Iterator[tuple[int, Path]]:
    """A Dovecot with three messages in INBOX; user anyone, password "secret"."""
    if DOVECOT is None:
        pytest.skip("needs dovecot (Debian: dovecot-imapd)")
    home = Path(tempfile.mkdtemp(prefix="dovecot"))  # short: sockets have short names
    box = home / "Maildir"
    for name in ("cur", "new", "tmp"):
        (box / name).mkdir(parents=True)
    for number, content in enumerate([SCAM, LETTER, b"\0"]):
        (box / "new" / f"{number}.host").write_bytes(content)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    configuration = home / "dovecot.conf"
    uid, gid, users = os.getuid(), os.getgid(), ""
    if uid == 0:  # its parts then run as the users that Debian's package makes, never as root
        nobody = pwd.getpwnam("nobody")
        uid, gid = nobody.pw_uid, nobody.pw_gid
        home.chmod(0o755)
        for path in [box, *box.rglob("*")]:
            os.chown(path, uid, gid)
    else:
        user, group = pwd.getpwuid(uid).pw_name, grp.getgrgid(gid).gr_name
        users = (
            f"default_internal_user = {user}\ndefault_login_user = {user}\n"
            f"default_internal_group = {group}"
        )
    configuration.write_text(
        CONFIGURATION.format(home=home, port=port, uid=uid, gid=gid, users=users)
    )
    process = subprocess.Popen([DOVECOT, "-F", "-c", str(configuration)])
    try:
        _wait(port, process, home)
        yield port, box
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(home, ignore_errors=True)


def _wait(port: int, process: subprocess.Popen[bytes], home: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if process.poll() is not None:
            log = home / "log"
            pytest.skip(f"dovecot does not run here: {log.read_text() if log.exists() else ''}")
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as connection:
                connection.settimeout(5)
                if connection.recv(64).startswith(b"* OK"):
                    return
        except OSError:
            time.sleep(0.1)
    pytest.skip(f"dovecot does not answer: {(home / 'log').read_text()[-300:]}")


def _state(box: Path) -> dict[str, str]:
    """Names and contents of all messages: flags are part of a name in a Maildir."""
    files = [p for name in ("cur", "new") for p in (box / name).iterdir()]
    return {f"{p.parent.name}/{p.name}": hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.mark.enable_socket
def test_a_folder_on_a_real_server_is_scanned_and_left_as_it_was(
    server: tuple[int, Path], classifier: WordClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, box = server
    before = _state(box)
    monkeypatch.setattr(imap_messages, "__defaults__", (lambda place: "secret",))
    run, address = CliRunner(), f"imap://ana@127.0.0.1:{port}/INBOX"
    result = run.invoke(spam, ["scan", address, "--all"], catch_exceptions=False)
    assert result.exit_code == 3  # the third message is none
    assert "spam          1" in result.stdout
    assert "imap://ana@127.0.0.1/INBOX;UID=" in result.stdout
    assert len([line for line in result.stderr.splitlines() if line.startswith("error")]) == 1
    assert len(classifier.texts) == 2
    result = run.invoke(spam, ["scan", address], catch_exceptions=False)
    assert "2 were known" in result.stdout  # and were not fetched again
    assert len(classifier.texts) == 2
    after = _state(box)
    assert sorted(after.values()) == sorted(before.values())
    assert not any(name.partition(":2,")[2] for name in after)  # nothing counts as seen
    with pytest.raises(BadInputError, match="no folder"):
        run.invoke(spam, ["scan", f"imap://ana@127.0.0.1:{port}/None"], catch_exceptions=False)


@pytest.mark.enable_socket
def test_a_wrong_password_and_a_missing_server_are_said(server: tuple[int, Path]) -> None:
    port, _ = server
    address = f"imap://ana@127.0.0.1:{port}/INBOX"
    with pytest.raises(AssistantError, match="refused"):
        list(imap_messages(address, lambda *_: None, lambda place: "wrong"))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        free = closed.getsockname()[1]
    with pytest.raises(AssistantError, match="cannot be reached"):
        list(imap_messages(f"imap://a@127.0.0.1:{free}", lambda *_: None, lambda place: ""))
