"""What the person taught: marked mails as embeddings, and the heads fitted on them.

The text of a marked mail is not kept unless the person allowed it. With the text, marks survive
an update of the model, because they can be read again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from assistant.plugin_api import BadInputError, EmbeddingClassifier, ModelError
from plugins.email_spam.canonical import canonical_text
from plugins.email_spam.checking import has_text
from plugins.email_spam.mail import Mail
from plugins.email_spam.store import now, open_store, store_exists

if TYPE_CHECKING:
    from sqlite_utils import Database

    from plugins.email_spam.head import Head
    from plugins.email_spam.tuning import Marks

Label = Literal["spam", "ham"]


@dataclass(frozen=True)
class Marked:
    """What a mark replaced, for ``take_back``: the mark before as it was stored, if any."""

    digest: bytes
    before: dict[str, Any] | None


def mark(mail: Mail, label: Label, classifier: EmbeddingClassifier, keep_text: bool) -> Marked:
    """Keep a mail's embedding with the person's word for it; an earlier word is replaced.

    Raises:
        BadInputError: there is hardly any text to learn from.
        ModelError: the bundle computes no embeddings.
    """
    import numpy as np

    from plugins.email_spam.head import logit

    if not has_text(mail):
        raise BadInputError("There is hardly any text to learn from")
    text = canonical_text(mail)
    (score,) = classifier.embed([text])
    row = {
        "digest": _digest(text),
        "label": label,
        "revision": classifier.revision,
        "log_odds": logit(score.probability),
        "embedding": np.asarray(score.embedding, "<f4").tobytes(),
        "text": text if keep_text else None,
        "created": now(),
    }
    with open_store() as db, db.atomic():
        before = list(db.query("SELECT * FROM mark WHERE digest = ?", [row["digest"]]))
        db["mark"].upsert(row, pk="digest")  # type: ignore[union-attr]
    return Marked(_digest(text), before[0] if before else None)


def take_back(marked: Marked) -> None:
    """Undo a mark: what the person had said of the mail before stands again."""
    with open_store() as db:
        if marked.before:
            db["mark"].upsert(marked.before, pk="digest")  # type: ignore[union-attr]
        else:
            db.execute("DELETE FROM mark WHERE digest = ?", [marked.digest])


def unmark(mail: Mail) -> bool:
    """Forget a mark; tell whether there was one."""
    with open_store() as db:
        digest = _digest(canonical_text(mail))
        return db.execute("DELETE FROM mark WHERE digest = ?", [digest]).rowcount > 0


def forget_all() -> int:
    """Forget every mark and every head; return how many marks there were."""
    with open_store() as db:
        db.execute("DELETE FROM head")
        return int(db.execute("DELETE FROM mark").rowcount)


def mark_counts(revision: str = "") -> dict[str, int]:
    """Return the marks by label, those of other revisions of the model under "stale"."""
    counts = {"spam": 0, "ham": 0, "stale": 0}
    if not store_exists():
        return counts
    with open_store() as db:
        for row in db.query("SELECT label, revision, count(*) AS n FROM mark GROUP BY 1, 2"):
            usable = not revision or row["revision"] == revision
            counts[row["label"] if usable else "stale"] += row["n"]
    return counts


def load_marks(classifier: EmbeddingClassifier) -> Marks:
    """Return the marks that fit the model; those of an older one are read again if they can be.

    Raises:
        ModelError: the bundle computes no embeddings.
    """
    import numpy as np

    from plugins.email_spam.tuning import Marks

    width = classifier.embedding_width
    if not width:
        classifier.embed([""])  # says what is missing
        raise ModelError(f"The model {classifier.name} computes no embeddings")
    with open_store() as db:
        _read_again(db, classifier)
        rows = list(
            db.query(
                "SELECT label, log_odds, embedding FROM mark WHERE revision = ? ORDER BY digest",
                [classifier.revision],
            )
        )
    vectors = [np.frombuffer(row["embedding"], "<f4") for row in rows]
    return Marks(
        np.array(vectors, np.float32).reshape(len(rows), width),
        np.array([row["log_odds"] for row in rows], np.float64),
        np.array([row["label"] == "spam" for row in rows], np.bool_),
    )


def _read_again(db: Database, classifier: EmbeddingClassifier) -> None:
    import numpy as np

    from plugins.email_spam.head import logit

    stale = list(
        db.query(
            "SELECT digest, text FROM mark WHERE revision <> ? AND text IS NOT NULL",
            [classifier.revision],
        )
    )
    for start in range(0, len(stale), 64):
        part = stale[start : start + 64]
        scores = classifier.embed([row["text"] for row in part])
        with db.atomic():
            for row, score in zip(part, scores, strict=True):
                vector = np.asarray(score.embedding, "<f4").tobytes()
                db.execute(
                    "UPDATE mark SET revision = ?, log_odds = ?, embedding = ? WHERE digest = ?",
                    [classifier.revision, logit(score.probability), vector, row["digest"]],
                )


def active_head(revision: str) -> Head | None:
    """Return the head in use with this revision of the model, None when there is none."""
    if not store_exists():
        return None
    from plugins.email_spam.head import head_from_json

    with open_store() as db:
        rows = list(
            db.query(
                "SELECT content FROM head WHERE active = 1 AND revision = ? "
                "ORDER BY number DESC LIMIT 1",
                [revision],
            )
        )
    return head_from_json(rows[0]["content"]) if rows else None


def activate(head: Head) -> None:
    """Put a head into use; the one before it stays for ``step_back``."""
    row = {"revision": head.revision, "content": head.to_json(), "active": 1, "created": now()}
    with open_store() as db:
        db["head"].insert(row)  # type: ignore[union-attr]


def step_back(revision: str) -> bool:
    """Take the newest head out of use, so that the one before it counts; tell if there was one."""
    with open_store() as db:
        changed = db.execute(
            "UPDATE head SET active = 0 WHERE number = (SELECT max(number) FROM head "
            "WHERE active = 1 AND revision = ?)",
            [revision],
        )
        return changed.rowcount > 0


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).digest()
