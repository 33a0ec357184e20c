"""What the person adjusted: threshold, the lower end of "unsure", whether marked text is kept."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

from plugins.email_spam.store import open_store, store_exists


@dataclass(frozen=True)
class Settings:
    """None leaves a figure to the model.

    Attributes:
        threshold: probability from which a mail is spam.
        unsure_from: probability from which a mail is unsure.
        keep_text: marks keep the text the model read beside its embedding.
    """

    threshold: float | None = None
    unsure_from: float | None = None
    keep_text: bool = False


def load_settings() -> Settings:
    """Return the stored settings."""
    if not store_exists():
        return Settings()
    with open_store() as db:
        stored = {row["name"]: row["value"] for row in db.query("SELECT * FROM setting")}
    return Settings(
        threshold=_figure(stored.get("threshold")),
        unsure_from=_figure(stored.get("unsure_from")),
        keep_text=stored.get("keep_text") == "yes",
    )


def save_settings(settings: Settings) -> None:
    """Store settings; what is as it comes is not kept."""
    with open_store() as db, db.atomic():
        db.execute("DELETE FROM setting")
        for field in fields(Settings):
            value = asdict(settings)[field.name]
            if value != field.default:
                text = "yes" if value is True else repr(value)
                db.execute("INSERT INTO setting VALUES (?, ?)", [field.name, text])


def _figure(text: str | None) -> float | None:
    try:
        return None if text is None else min(1.0, max(0.0, float(text)))
    except ValueError:
        return None
