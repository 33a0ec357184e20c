"""URLs and host names: found, taken apart, and made harmless to show."""

from __future__ import annotations

import re

_URL = re.compile(r"(?:https?://|ftp://|www\.)[^\s<>\"'\]\[(){}|\\^`]{2,2000}", re.IGNORECASE)
_SECOND_LEVEL = {"ac", "co", "com", "edu", "gob", "gov", "ne", "net", "or", "org"}
_HOST = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_]{2,24}\Z")
_NOT_HOST = re.compile(r"[^\w.:\[\]-]")
_TRAILING = ".,;:!?'\"»”’*"


def find_urls(text: str, limit: int = 200) -> list[str]:
    """Return the distinct URLs of a text, in order, without the punctuation that follows them."""
    found: dict[str, None] = {}
    for match in _URL.finditer(text):
        found[match[0].rstrip(_TRAILING)] = None
        if len(found) == limit:
            break
    return list(found)


def host_of(url: str) -> str:
    """Return the host a URL leads to, in lower case; of a mailto link the address's domain.

    What stands before an ``@`` is a user name, not the host (RFC 3986, 3.2.1), a favourite trick.
    """
    scheme, separator, rest = url.partition(":")
    if separator and scheme.lower() == "mailto":
        return rest.partition("?")[0].rpartition("@")[2].strip(" >").lower()
    rest = rest if separator and rest.startswith("/") else url
    authority = re.split(r"[/?#\\]", rest.lstrip("/\\"), maxsplit=1)[0]
    host = authority.rpartition("@")[2]
    if host.startswith("["):  # an IPv6 address keeps its colons
        return host.partition("]")[0].lower() + "]"
    host = host.partition(":")[0]
    return host.strip(".").lower()


def path_start(url: str, limit: int = 24) -> str:
    """Return the first part of a URL's path, e.g. "/login"; empty when there is none."""
    rest = url.partition("://")[2] or url
    path = rest.partition("/")[2]
    first = re.split(r"[/?#;&=]", path, maxsplit=1)[0][:limit]
    return f"/{first}" if first else ""


def organisational_domain(host: str) -> str:
    """Return the part of a host that somebody registered: "mail.shop.co.uk" gives "shop.co.uk".

    A rule of thumb in place of the public suffix list: good enough to compare two hosts.
    """
    labels = host.strip(".").split(".")
    size = 3 if len(labels) > 2 and len(labels[-1]) == 2 and labels[-2] in _SECOND_LEVEL else 2
    return ".".join(labels[-size:])


def shown_host(text: str) -> str:
    """Return the host that a link's text shows, or empty when the text is no address."""
    text = text.strip().strip(_TRAILING)
    if any(character.isspace() for character in text) or "@" in text:
        return ""
    host = host_of(text) if "://" in text else text.partition("/")[0].partition(":")[0].lower()
    return host if len(host) < 254 and _HOST.match(host) else ""


def defang(text: str) -> str:
    """Rewrite URLs so that nothing makes them clickable: hxxps://pay[.]example/x."""
    return _URL.sub(_defanged, text)


def defang_host(host: str) -> str:
    """Return a host that nothing makes clickable: pay[.]example."""
    return _NOT_HOST.sub("?", host[:100]).replace(".", "[.]")


def _defanged(match: re.Match[str]) -> str:
    url = match[0]
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    harmless = authority.replace(".", "[.]") + rest[len(authority) :]
    return scheme.lower().replace("http", "hxxp").replace("ftp", "fxp") + separator + harmless
