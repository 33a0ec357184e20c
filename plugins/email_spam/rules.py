"""Senders whom the person trusts or refuses, by address or domain.

A rule decides in place of the model and is named as the reason. From is easily forged, so the
model's probability is still computed and shown beside it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from assistant.plugin_api import BadInputError, sanitize_line
from plugins.email_spam.mail import Mail
from plugins.email_spam.store import now, open_store, store_exists

Action = Literal["allow", "block"]
_DOMAIN = re.compile(r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)*[^\W_](?:[\w-]{0,61}[^\W_])?\Z")
_LOCAL_PART = re.compile(r"[^\s@<>\x00-\x20]{1,64}\Z")


@dataclass(frozen=True)
class Rule:
    """``pattern`` is an address (with an @) or a domain, which covers its subdomains too."""

    pattern: str
    action: Action


@dataclass(frozen=True)
class SenderRules:
    """All rules, by pattern."""

    rules: dict[str, Action] = field(default_factory=dict)

    def match(self, mail: Mail) -> Rule | None:
        """Return the most specific rule for a mail's sender: address, domain, parent domains."""
        return self.match_address(mail.sender_address)

    def match_address(self, address: str) -> Rule | None:
        """Return the most specific rule for a sender's address."""
        address = address.lower()
        domain = address.rpartition("@")[2].strip(" .>")
        if not self.rules or not domain:
            return None
        labels = domain.split(".")[-20:]
        candidates = [address, *(".".join(labels[start:]) for start in range(len(labels)))]
        for pattern in candidates:
            if action := self.rules.get(pattern):
                return Rule(pattern, action)
        return None


def parse_pattern(text: str) -> str:
    """Return an address or a domain in the form in which rules are kept.

    Raises:
        BadInputError: it is neither.
    """
    pattern = text.strip().strip("<>").lower().removeprefix("mailto:").rstrip(".")
    local, _, domain = pattern.rpartition("@")
    valid = len(domain) < 254 and bool(_DOMAIN.match(domain))
    if not valid or (local and not _LOCAL_PART.match(local)):
        raise BadInputError(
            f"{sanitize_line(text, 80)!r} is neither an address nor a domain",
            "Write ana@sol.example for one sender, sol.example for all of a domain",
        )
    return pattern if local else domain


def load_rules() -> SenderRules:
    """Return the stored rules."""
    if not store_exists():
        return SenderRules()
    with open_store() as db:
        rows = db.query("SELECT pattern, action FROM sender_rule ORDER BY pattern")
        return SenderRules({row["pattern"]: row["action"] for row in rows})


def save_rule(pattern: str, action: Action) -> None:
    """Store a rule; one for the same pattern is replaced."""
    with open_store() as db:
        db["sender_rule"].upsert(  # type: ignore[union-attr]
            {"pattern": pattern, "action": action, "created": now()}, pk="pattern"
        )


def remove_rule(pattern: str) -> bool:
    """Remove a rule; tell whether there was one."""
    with open_store() as db:
        return db.execute("DELETE FROM sender_rule WHERE pattern = ?", [pattern]).rowcount > 0
