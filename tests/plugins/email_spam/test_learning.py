"""Learning from the person's mail: marks, the head, cross-validation, and the way back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from assistant.plugin_api import AssistantError, BadInputError, ModelError
from plugins.email_spam.checker import load_checker
from plugins.email_spam.commands import spam
from plugins.email_spam.head import fit_head, fit_path, fit_views, head_from_json, sigmoid
from plugins.email_spam.mail import Mail
from plugins.email_spam.marks import load_marks, mark, mark_counts, unmark
from plugins.email_spam.store import open_store
from plugins.email_spam.tuning import FEWEST, Marks, folds, roc_auc, tune
from plugins.email_spam.views import Views
from tests.support.words import EMBEDDED, WordClassifier

ROBOT = Mail(sender_address="a@b.example", subject="news", body="Our robot lawnmower sale is on")


def teach(classifier: WordClassifier, each: int = FEWEST, keep_text: bool = False) -> None:
    """Robots are spam to this person, tea is not; the model has no idea."""
    views = Views(classifier)
    for number in range(each):
        body = f"Number {number}: our robot sale, {'robot ' * (1 + number % 3)}"
        mark(Mail(body=body), "spam", views, keep_text)
        mark(Mail(body=f"Number {number}: shall we have tea"), "ham", views, keep_text)


def problem(n: int, width: int = 12, seed: int = 0) -> Marks:
    random = np.random.default_rng(seed)
    spam_N = np.arange(n) % 3 == 0
    x_ND = random.normal(size=(n, width)).astype(np.float32)
    x_ND[:, 0] += 1.5 * spam_N
    x_ND[:, 1] -= 1.0 * spam_N
    return Marks(x_ND, random.normal(size=n) + spam_N, spam_N)


@pytest.mark.parametrize(("n", "width"), [(300, 12), (60, 90)])
def test_the_head_is_the_ridge_regression_that_scikit_learn_finds(n: int, width: int) -> None:
    """With the model's own log-odds taken out (always 0) the two problems are the same."""
    marks, ridge = problem(n, width), 0.01
    head = fit_head(marks.embedding_ND, np.zeros(n), marks.spam_N, ridge)
    z_ND = (marks.embedding_ND - np.array(head.mean)) / np.array(head.scale)
    weight_N = np.where(marks.spam_N, 0.5 / marks.spam_N.sum(), 0.5 / (~marks.spam_N).sum())
    theirs = LogisticRegression(C=1 / ridge, tol=1e-10, max_iter=10_000)
    theirs.fit(z_ND, marks.spam_N, sample_weight=weight_N)
    np.testing.assert_allclose(head.weights, theirs.coef_[0], rtol=1e-3, atol=1e-3)
    assert head.bias == pytest.approx(float(theirs.intercept_[0]), abs=1e-3)
    ours = sigmoid(head.log_odds(marks.embedding_ND, np.zeros(n)))
    np.testing.assert_allclose(ours, theirs.predict_proba(z_ND)[:, 1], atol=1e-3)


@pytest.mark.parametrize("width", [12, 90])
def test_a_path_of_strengths_finds_what_each_alone_finds(width: int) -> None:
    marks = problem(60, width)
    strengths = (1.0, 1e-3, 1e-6)
    path = fit_path(marks.embedding_ND, marks.model_N, marks.spam_N, strengths)
    for strength, head in zip(strengths, path, strict=True):
        alone = fit_head(marks.embedding_ND, marks.model_N, marks.spam_N, strength)
        expected = alone.log_odds(marks.embedding_ND, marks.model_N)
        found = head.log_odds(marks.embedding_ND, marks.model_N)
        np.testing.assert_allclose(sigmoid(found), sigmoid(expected), atol=1e-3)


def test_a_head_of_two_views_is_the_weighed_mean_of_a_head_for_each() -> None:
    marks = problem(120, width=10)
    x_ND, model, spam = marks.embedding_ND, marks.model_N, marks.spam_N
    both = fit_views(x_ND, model, spam, (1.0, 0.01))[1]
    whole = fit_head(x_ND[:, :5], model, spam, 0.01).log_odds(x_ND[:, :5], model)
    headers = fit_head(x_ND[:, 5:], model, spam, 0.01).log_odds(x_ND[:, 5:], model)
    np.testing.assert_allclose(both.log_odds(x_ND, model), (2 * whole + headers) / 3, atol=1e-9)
    assert head_from_json(both.to_json()) == both


def test_a_mail_is_embedded_whole_and_by_its_headers() -> None:
    classifier = WordClassifier()
    views = Views(classifier)
    (score,) = views.embed(["From: Robot\nSubject: tea\n\nThe robot makes tea for grandma."])
    tea, grandma, robot = (EMBEDDED.index(word) for word in ("tea", "grandma", "robot"))
    assert score.embedding is not None
    assert len(score.embedding) == views.embedding_width == 2 * classifier.embedding_width
    whole, headers = np.split(score.embedding, 2)
    assert (whole[tea], whole[grandma], whole[robot]) == (2, 1, 2)
    assert (headers[tea], headers[grandma], headers[robot]) == (1, 0, 1)
    assert score == classifier.score([classifier.texts[0]])[0]
    assert views.revision != classifier.revision
    classifier.revision = "words-2"
    assert views.revision.startswith("words-2")


def test_strong_regularization_leaves_the_model_as_it_is() -> None:
    marks = problem(60)
    head = fit_head(marks.embedding_ND, marks.model_N, marks.spam_N, 1e6)
    assert head.log_odds_weight == pytest.approx(1.0, abs=1e-3)
    assert np.abs(head.weights).max() < 1e-3


@pytest.mark.parametrize("ties", [False, True])
def test_auc_equals_scikit_learns(ties: bool) -> None:
    marks = problem(200)
    score = np.round(marks.model_N) if ties else marks.model_N
    assert roc_auc(marks.spam_N, score) == pytest.approx(roc_auc_score(marks.spam_N, score))


def test_folds_are_stratified_disjoint_and_always_the_same() -> None:
    spam_N = problem(90).spam_N
    parts = folds(spam_N, 5)
    assert sorted(np.concatenate(parts).tolist()) == list(range(90))
    assert {int(spam_N[part].sum()) for part in parts} == {6}
    assert all((a == b).all() for a, b in zip(parts, folds(spam_N, 5), strict=True))


def test_cross_validation_is_no_flattery() -> None:
    """Labels that have nothing to do with the embeddings give no better a head."""
    random = np.random.default_rng(1)
    noise = Marks(
        random.normal(size=(120, 40)).astype(np.float32),
        random.normal(size=120),
        random.permutation(np.arange(120) % 2 == 0),
    )
    assert 0.3 < tune(noise, "r", (0.5,)).auc_after < 0.7


def test_tuning_learns_what_the_model_does_not_know() -> None:
    found = tune(problem(240), "r", (0.5, 0.9))
    assert found.better
    assert found.auc_after > found.auc_before + 0.03
    at_half = found.thresholds[0]
    assert at_half.found_after > at_half.found_before
    assert found.head.spam + found.head.ham == 240


def test_a_suggested_threshold_would_have_caught_no_good_mail() -> None:
    marks = problem(240)
    found = tune(marks, "r", (0.5,))
    assert found.suggested is not None
    again = tune(marks, "r", (found.suggested,))
    assert again.thresholds[0].caught_after == 0
    assert tune(marks, "r", (found.suggested - 0.01,)).thresholds[0].caught_after >= 1


def test_a_mark_keeps_figures_and_not_the_text() -> None:
    classifier = WordClassifier()
    mark(ROBOT, "spam", classifier, keep_text=False)
    with open_store() as db:
        (row,) = db.query("SELECT * FROM mark")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        content = Path(db.execute("PRAGMA database_list").fetchone()[2]).read_bytes()
    assert row["text"] is None
    assert b"lawnmower" not in content
    assert b"b.example" not in content
    np.testing.assert_array_equal(np.frombuffer(row["embedding"], "<f4"), [0, 0, 0, 0, 0, 0, 0, 1])


def test_a_mail_is_marked_once_and_the_last_word_counts() -> None:
    classifier = WordClassifier()
    mark(ROBOT, "spam", classifier, keep_text=False)
    mark(ROBOT, "ham", classifier, keep_text=False)
    assert mark_counts("words-1") == {"spam": 0, "ham": 1, "stale": 0}
    assert unmark(ROBOT)
    assert not unmark(ROBOT)
    assert mark_counts("words-1") == {"spam": 0, "ham": 0, "stale": 0}


def test_marks_with_text_outlive_an_update_of_the_model() -> None:
    classifier = WordClassifier()
    mark(ROBOT, "spam", classifier, keep_text=True)
    mark(Mail(body="no text of this is kept"), "ham", classifier, keep_text=False)
    classifier.revision = "words-2"
    assert mark_counts("words-2") == {"spam": 0, "ham": 0, "stale": 2}
    assert len(load_marks(classifier)) == 1
    assert mark_counts("words-2") == {"spam": 1, "ham": 0, "stale": 1}


def test_without_embeddings_marking_says_so_and_judging_goes_on(
    classifier: WordClassifier,
) -> None:
    classifier.embedding_width = 0
    with pytest.raises(ModelError, match="no embeddings"):
        mark(ROBOT, "spam", classifier, keep_text=False)
    with pytest.raises(ModelError, match="no embeddings"):
        load_marks(classifier)
    assert load_checker().check(ROBOT).verdict == "ham"


def test_too_few_marks_are_counted_and_refused(classifier: WordClassifier) -> None:
    teach(classifier, FEWEST - 1)
    with pytest.raises(BadInputError, match=f"{FEWEST - 1} mails marked as spam"):
        CliRunner().invoke(spam, ["tune"], catch_exceptions=False)


def test_tuning_by_command_changes_verdicts_and_goes_back(classifier: WordClassifier) -> None:
    run = CliRunner()
    teach(classifier)
    assert load_checker().check(ROBOT).verdict == "ham"
    rehearsal = run.invoke(spam, ["tune", "--dry-run"])
    assert "20 spam and 20 ham" in rehearsal.stdout
    assert "AUC" in rehearsal.stdout
    assert load_checker().check(ROBOT).verdict == "ham"
    result = run.invoke(spam, ["tune"], catch_exceptions=False)
    assert "In use from now on" in result.stderr
    assert "0/20" in result.stdout  # what the model alone found
    tuned = load_checker()
    assert tuned.classifier.name == "email-spam-tuned"
    assert tuned.check(ROBOT).score > 0.5
    assert tuned.check(Mail(body="Shall we have tea on Friday")).verdict == "ham"
    first = tuned.classifier.key
    run.invoke(spam, ["tune", "--force"])
    assert "the head before" in run.invoke(spam, ["tune", "--undo"]).stderr
    assert load_checker().classifier.key == first
    assert "the model alone" in run.invoke(spam, ["tune", "--undo"]).stderr
    assert load_checker().check(ROBOT).verdict == "ham"
    with pytest.raises(AssistantError, match="nothing to go back from"):
        run.invoke(spam, ["tune", "--undo"], catch_exceptions=False)


def test_evidence_is_that_of_the_tuned_model(classifier: WordClassifier) -> None:
    teach(classifier)
    CliRunner().invoke(spam, ["tune"], catch_exceptions=False)
    mail = Mail(subject="News", body="We have a sale. It is about a robot. See you there.")
    quotes = {e.quote: e.weight for e in load_checker().check(mail).evidence}
    assert quotes["It is about a robot."] > 0.5


def test_a_head_is_exported_and_imported(classifier: WordClassifier, tmp_path: Path) -> None:
    run, file = CliRunner(), tmp_path / "head.json"
    teach(classifier)
    run.invoke(spam, ["tune"])
    score = load_checker().check(ROBOT).score
    assert run.invoke(spam, ["tune", "--export", str(file)]).exit_code == 0
    run.invoke(spam, ["mark", "--forget-all"])
    assert mark_counts()["spam"] == 0
    assert load_checker().check(ROBOT).score != score
    run.invoke(spam, ["tune", "--import", str(file)], catch_exceptions=False)
    assert load_checker().check(ROBOT).score == score
    classifier.revision = "words-2"
    assert load_checker().check(ROBOT).score != score  # never on another model's embeddings
    with pytest.raises(BadInputError, match="another version of the model"):
        run.invoke(spam, ["tune", "--import", str(file)], catch_exceptions=False)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "other"}, {"version": 2}, {"weights": [1.0]}, {"weights": ["x"] * 8},
        {"bias": float("nan")}, {"scale": [0.0] * 8}, {"mean": []}, {"revision": None, "spam": "x"},
    ],
)  # fmt: skip
def test_a_damaged_head_is_refused(classifier: WordClassifier, change: dict[str, object]) -> None:
    marks = problem(60, width=8)
    text = fit_head(marks.embedding_ND, marks.model_N, marks.spam_N, 0.1, "words-1").to_json()
    assert head_from_json(text).revision == "words-1"
    with pytest.raises(BadInputError):
        head_from_json(json.dumps(json.loads(text) | change))
    for broken in ("", "[]", "null", text[:50], "[" * 100_000):
        with pytest.raises(BadInputError):
            head_from_json(broken)


def test_marking_by_command(classifier: WordClassifier, samples: Path, tmp_path: Path) -> None:
    run = CliRunner()
    result = run.invoke(spam, ["mark", str(samples / "personal.eml"), "ham"])
    assert "Remembered as ham: 0 spam and 1 ham so far" in result.stderr
    picture = tmp_path / "x.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n")
    result = run.invoke(spam, ["mark", str(samples / "phishing_html.eml"), str(picture), "spam"])
    assert result.exit_code == 3
    assert "Remembered as spam: 1 spam and 1 ham so far" in result.stderr
    assert run.invoke(spam, ["mark", "--counts"]).stdout == "spam 1\nham 1\n"
    result = run.invoke(spam, ["mark", str(samples / "personal.eml"), "forget"])
    assert "Forgot 1 mark" in result.stderr
    for wrong in (["mark"], ["mark", "x.eml"], ["mark", "spam"], ["mark", "--counts", "x", "spam"]):
        assert run.invoke(spam, wrong).exit_code == 2


def test_the_text_is_kept_where_the_person_allows_it(
    classifier: WordClassifier, samples: Path
) -> None:
    run = CliRunner()
    run.invoke(spam, ["settings", "--keep-text"])
    run.invoke(spam, ["mark", str(samples / "personal.eml"), "ham"])
    run.invoke(spam, ["mark", "--no-keep-text", str(samples / "receipt.eml"), "ham"])
    with open_store() as db:
        texts = [row["text"] for row in db.query("SELECT text FROM mark")]
    assert sorted(text is None for text in texts) == [False, True]


def test_the_reports_actions_mark_the_mail(classifier: WordClassifier) -> None:
    spam_action, fine_action = load_checker().check(ROBOT).actions
    assert (spam_action.label, fine_action.label) == ("It is spam", "It is fine")
    assert spam_action.run() == (
        "Remembered as spam: 1 spam and 0 ham so far; "
        "`assistant spam tune` can learn from 20 of each"
    )
    fine_action.run()
    assert mark_counts(Views(classifier).revision) == {"spam": 0, "ham": 1, "stale": 0}
    assert fine_action.undo
    assert spam_action.undo
    assert fine_action.undo() == "No longer remembered as ham"
    assert mark_counts(Views(classifier).revision) == {"spam": 1, "ham": 0, "stale": 0}, (
        "what was said before"
    )
    spam_action.undo()
    assert mark_counts(Views(classifier).revision) == {"spam": 0, "ham": 0, "stale": 0}
