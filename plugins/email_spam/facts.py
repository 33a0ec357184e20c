"""Facts about a mail that a person can check with their own eyes.

They inform and carry no weight: the model's probability is not moved by them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator

from assistant.plugin_api import Evidence, sanitize_line
from plugins.email_spam.links import (
    defang,
    defang_host,
    host_of,
    organisational_domain,
    shown_host,
)
from plugins.email_spam.mail import Mail, domain_of

# Names that phishing borrows most, with the other domains their owners write from.
_BRANDS: dict[str, tuple[str, ...]] = {
    "adobe": (),
    "amazon": ("amazonaws", "amazonses"),
    "american express": ("americanexpress", "aexp"),
    "apple": ("icloud",),
    "bank of america": ("bankofamerica", "bofa"),
    "coinbase": (),
    "dhl": (),
    "docusign": (),
    "dropbox": ("dropboxmail",),
    "ebay": (),
    "facebook": ("facebookmail", "meta"),
    "fedex": (),
    "google": ("gmail", "youtube"),
    "hsbc": (),
    "instagram": ("facebookmail",),
    "linkedin": (),
    "mcafee": (),
    "microsoft": ("microsoftonline", "office", "office365", "outlook", "live"),
    "netflix": (),
    "norton": (),
    "paypal": (),
    "royal mail": ("royalmail",),
    "spotify": (),
    "usps": (),
    "wells fargo": ("wellsfargo",),
    "whatsapp": (),
}
_SKELETON = str.maketrans("0135", "oles")
_EXECUTABLE = re.compile(
    r"\.(?:exe|scr|com|pif|bat|cmd|msi|jar|js|jse|vbs|vbe|wsf|hta|ps1|lnk|iso|img|vhd|apk|app|dmg"
    r"|reg|cpl|chm|docm|xlsm|pptm|xll)$",
    re.IGNORECASE,
)
_WEB_PAGE = re.compile(r"\.(?:html?|shtml|svg|mht)$", re.IGNORECASE)
_URGENCY = re.compile(
    r"\b(?:urgent(?:ly)?|immediate(?:ly)?|right away|act now|last chance|"
    r"within (?:the next )?(?:\d+|one|two|three|twenty-four|forty-eight) (?:hours?|days?|minutes?)|"
    r"final (?:notice|warning|reminder)|(?:expires?|ends?) (?:today|tonight|soon|in \d+)|"
    r"(?:will be|has been|is) (?:\w+ly )?(?:suspended|closed|blocked|deactivated|limited|locked|"
    r"terminated|deleted)|time left)\b",
    re.IGNORECASE,
)
_PAYMENT = re.compile(
    r"\b(?:gift cards?|wire transfer|bank transfer|bitcoins?|crypto(?:currency)?|western union|"
    r"(?:small|handling|customs|shipping|delivery|redelivery|processing|release) (?:fee|charge)s?|"
    r"outstanding (?:amount|balance|charge|payment)|pay (?:now|the|your|just|only|a )|"
    r"overdue|transfer (?:of )?(?:the )?(?:funds|money|sum)|new bank (?:details|account))",
    re.IGNORECASE,
)
_SECRET = re.compile(
    r"\b(?:confirm|verify|enter|provide|update|validate|reply with|send|submit|give|log ?in|"
    r"sign in)\b.{0,60}?\b(?:passwords?|passcode|pin(?: code)?|card (?:number|details)|cvv|"
    r"credentials|login details|(?:personal|bank|billing|payment|account) "
    r"(?:details|information|data)|"
    r"account number|social security|seed phrase|recovery phrase|identity|your account)\b",
    re.IGNORECASE,
)
_NEGATED = re.compile(
    r"\b(?:never|don't|do not|did not|didn't|won't|will not|no need)\b", re.IGNORECASE
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")


def facts(mail: Mail) -> list[Evidence]:
    """Return what a person should know about a mail, addresses made harmless."""
    return [evidence for find in _FINDERS for evidence in find(mail)]


def sentences(text: str) -> list[str]:
    """Split text into sentences and lines; a rule of thumb, linear in its length."""
    return [piece.strip() for piece in _SENTENCE_END.split(unwrap(text)) if piece.strip()]


def unwrap(text: str) -> str:
    """Join the lines of a sentence that a mail program has wrapped."""
    lines: list[str] = []
    wrapped = False
    for line in text.split("\n"):
        if wrapped and (line[:1].islower() or line[:1].isdigit()):
            lines[-1] += f" {line}"
        else:
            lines.append(line)
        # a full line that ends in the middle of a sentence; shorter ones end where they want to
        wrapped = 50 <= len(line) <= 100 and line[-1] not in ".!?:;>"
    return "\n".join(lines)


def quote(text: str, limit: int = 160) -> str:
    """Return text fit to be quoted: one safe line, links that nothing makes clickable."""
    return defang(sanitize_line(text, limit))


def _reply_elsewhere(mail: Mail) -> Iterator[Evidence]:
    reply, sender = mail.reply_to_domain, mail.sender_domain
    if reply and sender and organisational_domain(reply) != organisational_domain(sender):
        yield Evidence(
            f"An answer would go to {defang_host(reply)}, not to the sender's {defang_host(sender)}"
        )


def _name_shows_other_address(mail: Mail) -> Iterator[Evidence]:
    shown = re.search(r"[\w.+-]{1,64}@[\w.-]{3,200}", mail.sender_name)
    sender = mail.sender_domain
    if shown and sender:
        domain = domain_of(shown[0])
        if organisational_domain(domain) != organisational_domain(sender):
            yield Evidence(
                f"The sender's name shows an address of {defang_host(domain)}, "
                f"but the mail is from {defang_host(sender)}"
            )


def _borrowed_brand(mail: Mail) -> Iterator[Evidence]:
    sender = mail.sender_domain
    if not sender:
        return
    owner = organisational_domain(sender).partition(".")[0]
    for brand, others in _BRANDS.items():
        named = re.search(rf"\b{re.escape(brand)}\b", mail.sender_name, re.IGNORECASE)
        if named and owner not in {brand.replace(" ", ""), brand.replace(" ", "-"), *others}:
            yield Evidence(
                f'The sender calls itself "{sanitize_line(mail.sender_name, 60)}" '
                f"but writes from {defang_host(sender)}"
            )
            return


def _lookalike_hosts(mail: Mail) -> Iterator[Evidence]:
    hosts = dict.fromkeys([mail.sender_domain, *(host_of(link.target) for link in mail.links)])
    for host in list(hosts)[:50]:
        if any(label.startswith("xn--") for label in host.split(".")):
            yield Evidence(
                f"{defang_host(host)} is written with foreign letters that may imitate Latin ones"
                f"{_decoded(host)}"
            )
        elif host and not host.isascii():
            yield Evidence(f"{defang_host(host)} holds letters outside the Latin alphabet")
        elif imitated := _imitated(host):
            yield Evidence(f"{defang_host(host)} imitates the name {imitated}")


def _decoded(host: str) -> str:
    try:
        shown = host.encode("ascii")[:250].decode("idna")
    except UnicodeError:
        return ""
    return f": {defang_host(sanitize_line(shown))}" if shown != host else ""


def _imitated(host: str) -> str:
    label = organisational_domain(host).partition(".")[0]
    bare = label.translate(_SKELETON).replace("rn", "m").replace("vv", "w")
    for brand in _BRANDS:
        compact = brand.replace(" ", "")
        if len(compact) >= 5 and label != compact and compact in bare and compact not in label:
            return brand
    return ""


def _links_that_mislead(mail: Mail) -> Iterator[Evidence]:
    for link in mail.links:
        shown, target = shown_host(link.text), host_of(link.target)
        if (
            shown
            and target
            and not link.target.lower().startswith("mailto:")
            and organisational_domain(shown) != organisational_domain(target)
        ):
            yield Evidence(
                f"A link shows {defang_host(shown)} but leads to {defang_host(target)}",
                quote=quote(link.text),
            )
            return


def _odd_links(mail: Mail) -> Iterator[Evidence]:
    for link in mail.links:
        host = host_of(link.target)
        if link.target.lower().startswith("javascript:"):
            yield Evidence("A link runs a script instead of opening a page")
            return
        if re.fullmatch(r"[\d.]{7,15}|\[[0-9a-f:]+\]|0x[0-9a-f]+|\d{8,10}", host):
            yield Evidence(f"A link leads to a bare number, {defang_host(host)}, not to a name")
            return


def _links_leave_sender(mail: Mail) -> Iterator[Evidence]:
    host = _foreign_host(mail)
    if host and not any(_first_sentence(mail, wanted) for wanted in (_SECRET, _PAYMENT)):
        sender = defang_host(mail.sender_domain)
        yield Evidence(f"Its links lead to {defang_host(host)}, not to the sender's {sender}")


def _foreign_host(mail: Mail) -> str:
    """Return where the links lead when none of them leads to the sender's domain, else ""."""
    hosts = [host_of(li.target) for li in mail.links if not li.target.startswith("mailto:")]
    hosts = [host for host in hosts if "." in host]
    own = organisational_domain(mail.sender_domain)
    if not hosts or not own or any(organisational_domain(host) == own for host in hosts):
        return ""
    return hosts[0]


def _hidden_text(mail: Mail) -> Iterator[Evidence]:
    if len(mail.hidden) >= 40:
        yield Evidence(
            f"It holds {len(mail.hidden):,} characters of text that is not shown",
            quote=quote(mail.hidden, 100),
        )


def _attachments(mail: Mail) -> Iterator[Evidence]:
    for attachment in mail.attachments:
        # "invoice.pdf.exe" and trailing dots or spaces hide what a file is.
        name = unicodedata.normalize("NFKC", attachment.name).rstrip(". ")
        if _EXECUTABLE.search(name):
            yield Evidence(f"The attachment {sanitize_line(name, 80)} can run a program")
        elif _WEB_PAGE.search(name):
            yield Evidence(
                f"The attachment {sanitize_line(name, 80)} is a web page; "
                "such files often imitate a sign-in page"
            )


def _first_sentence(mail: Mail, pattern: re.Pattern[str]) -> str:
    for whole in [mail.subject, *sentences(mail.body[:20_000])]:
        sentence = whole[:600]
        if pattern.search(sentence) and not _NEGATED.search(sentence):
            return sentence
    return ""


def _said(
    pattern: re.Pattern[str], text: str, with_link: bool = False
) -> Callable[[Mail], Iterator[Evidence]]:
    def find(mail: Mail) -> Iterator[Evidence]:
        sentence = _first_sentence(mail, pattern)
        if not sentence:
            return
        said = text
        if with_link and (host := _foreign_host(mail)):
            sender = defang_host(mail.sender_domain)
            said += f" and links to {defang_host(host)}, not to the sender's {sender}"
        yield Evidence(said, quote=quote(sentence))

    return find


_FINDERS: tuple[Callable[[Mail], Iterator[Evidence]], ...] = (
    _borrowed_brand,
    _name_shows_other_address,
    _lookalike_hosts,
    _links_that_mislead,
    _odd_links,
    _reply_elsewhere,
    _links_leave_sender,
    _said(_SECRET, "It asks for access data or personal details", with_link=True),
    _said(_PAYMENT, "It speaks of a payment", with_link=True),
    _said(_URGENCY, "It presses for speed"),
    _attachments,
    _hidden_text,
)
