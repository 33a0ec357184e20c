"""The bundle: a folder with a model, its tokenizer and what one must know to use them.

``bundle.json`` is the contract between training (which writes it) and the runtime (which
refuses what it does not understand).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from assistant.errors import ModelError
from assistant.paths import MODELS_VARIABLE, model_directories
from assistant.tokenizer import Tokenizer, TokenizerSpec

FORMAT_VERSION = 1
BUNDLE_FILE = "bundle.json"
Task = Literal["chat", "classification"]


@dataclass(frozen=True)
class Architecture:
    """Shape of a transformer.

    Layout "llama", a decoder: RMSNorm, rotary positions, grouped-query attention, SwiGLU, tied
    embeddings. Layout "bert", an encoder: LayerNorm behind each part, learned positions, GELU,
    every token sees all others; ``rope_theta`` and ``qk_norm`` mean nothing there.
    """

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    feed_forward: int
    vocabulary_size: int
    rope_theta: float = 10_000.0
    norm_epsilon: float = 1e-5
    qk_norm: bool = False
    layout: Literal["llama", "bert"] = "llama"


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle.json; the weights stay on disk until an engine opens them.

    Attributes:
        files: name to sha256 of every file of the bundle but bundle.json.
        chat: for chat: ``system_prompt``, ``stop_tokens``, ``generation`` defaults.
        classification: for classifiers: ``labels``, ``positive``, ``threshold``, ``unsure``
            [low, high], ``calibration`` {temperature, bias}, ``windows`` {tokens, stride, pool,
            later_penalty, head_share, repeat_head}, see ``assistant.engine.windows``.
        handbook: for chat, if it has one: ``files``, ``threshold``, ``margin`` and so on, see
            ``assistant.handbook``; the model reads entries that fit before it answers.
        prefix: for chat, if it has one: the system prompt's keys and values, ``file``, ``tokens``,
            ``computed_from`` (file to sha256), see ``assistant.engine.stored_prefix``.
        golden: recorded outputs that ``models verify`` compares with.
        provenance: where it came from: foundation, data hashes, commit, command.
    """

    directory: Path
    name: str
    task: Task
    architecture: Architecture
    context_length: int
    tokenizer_spec: TokenizerSpec
    graph: dict[str, Any]
    files: dict[str, str]
    description: str = ""
    chat: dict[str, Any] = field(default_factory=dict)
    classification: dict[str, Any] = field(default_factory=dict)
    handbook: dict[str, Any] = field(default_factory=dict)
    prefix: dict[str, Any] = field(default_factory=dict)
    golden: list[dict[str, Any]] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)

    def tokenizer(self) -> Tokenizer:
        """Build the tokenizer; raises ModelError when its file is damaged."""
        return Tokenizer.load(self.directory, self.tokenizer_spec)

    @property
    def graph_path(self) -> Path:
        """Path of the ONNX graph."""
        return self.directory / str(self.graph["file"])

    @property
    def size_bytes(self) -> int:
        """Bytes of all its files on disk."""
        return sum(
            (self.directory / name).stat().st_size
            for name in self.files
            if (self.directory / name).exists()
        )

    def to_json(self) -> dict[str, Any]:
        """Return the object written to bundle.json."""
        data: dict[str, Any] = {
            "format_version": FORMAT_VERSION,
            "name": self.name,
            "description": self.description,
            "task": self.task,
            "architecture": self.architecture.__dict__,
            "context_length": self.context_length,
            "tokenizer": self.tokenizer_spec.to_json(),
            "graph": self.graph,
        }
        if self.task == "chat":
            data["chat"] = self.chat
        else:
            data["classification"] = self.classification
        if self.handbook:
            data["handbook"] = self.handbook
        if self.prefix:
            data["prefix"] = self.prefix
        data |= {"golden": self.golden, "provenance": self.provenance, "files": self.files}
        return data


def load_bundle(directory: Path) -> Bundle:
    """Read and check ``directory/bundle.json`` (hashes are ``damaged_files``' business).

    Raises:
        ModelError: missing, not JSON, a field missing or wrong, or a newer format.
    """
    path = directory / BUNDLE_FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(
            f"No model at {directory} ({error.strerror})",
            "Run `git checkout -- models` in the repository or give another with --model",
        ) from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is damaged ({error})", _restore(directory)) from error
    try:
        version = int(data["format_version"])
        if version > FORMAT_VERSION:
            raise ModelError(
                f"The model {directory.name} has bundle format {version}, this program reads up "
                f"to {FORMAT_VERSION}",
                "Update Frontdesk",
            )
        task = data["task"]
        if task not in ("chat", "classification"):
            raise ModelError(f"{path}: unknown task {task!r}", "Update Frontdesk")
        bundle = Bundle(
            directory=directory,
            name=str(data["name"]),
            description=str(data.get("description", "")),
            task=task,
            architecture=Architecture(**data["architecture"]),
            context_length=int(data["context_length"]),
            tokenizer_spec=TokenizerSpec.from_json(data["tokenizer"]),
            graph=dict(data["graph"]),
            files={str(k): str(v) for k, v in data["files"].items()},
            chat=dict(data.get("chat", {})),
            classification=dict(data.get("classification", {})),
            handbook=dict(data.get("handbook", {})),
            prefix=dict(data.get("prefix", {})),
            golden=list(data.get("golden", [])),
            provenance=dict(data.get("provenance", {})),
        )
        needed = [str(bundle.graph["file"]), bundle.tokenizer_spec.file]
        if bundle.handbook:
            needed += [str(name) for name in bundle.handbook["files"].values()]
            needed += [str(name) for name in bundle.handbook["data"]]
        if bundle.prefix:
            needed.append(str(bundle.prefix["file"]))
            _check_prefix(bundle.prefix)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{path} is damaged ({error!r})", _restore(directory)) from error
    if missing := [name for name in needed if name not in bundle.files]:
        # A file without a recorded hash could be anything, from anywhere.
        raise ModelError(f"{path} records no hash of {', '.join(missing)}", _restore(directory))
    for name in bundle.files:
        if Path(name).name != name:
            raise ModelError(f"{path} names a file outside its folder: {name!r}")
        if not (directory / name).is_file():
            raise ModelError(f"The model file {directory / name} is missing", _restore(directory))
    return bundle


def _check_prefix(prefix: dict[str, Any]) -> None:
    """Raise TypeError or KeyError for what the engine could not use."""
    if not all(isinstance(token, int) for token in prefix["tokens"]):
        raise TypeError("prefix tokens are numbers")
    if not isinstance(prefix["computed_from"], dict):
        raise TypeError("computed_from is an object")


def _restore(directory: Path) -> str:
    return f"Restore it, e.g. `git checkout -- {directory}`, or export the model again"


def find_bundle(name_or_path: str, task: Task | None = None) -> Bundle:
    """Find a bundle by name in the model directories, or by path.

    Raises:
        ModelError: there is none, it is damaged, or it is for another task.
    """
    as_path = Path(name_or_path).expanduser()
    candidates = [directory / name_or_path for directory in model_directories()]
    if as_path.is_dir() and (as_path / BUNDLE_FILE).is_file():
        candidates.insert(0, as_path)
    for candidate in candidates:
        if (candidate / BUNDLE_FILE).is_file():
            bundle = load_bundle(candidate)
            break
    else:
        places = ", ".join(str(directory) for directory in model_directories())
        raise ModelError(
            f"There is no model named {name_or_path!r} in {places}",
            f"`assistant models list` shows what is there; {MODELS_VARIABLE} names another folder",
        )
    if task is not None and bundle.task != task:
        raise ModelError(f"The model {bundle.name} is for {bundle.task}, not for {task}")
    return bundle


def list_bundles() -> tuple[list[Bundle], list[ModelError]]:
    """Return every readable bundle by name, and an error for each unreadable one."""
    bundles: dict[str, Bundle] = {}
    errors: list[ModelError] = []
    for directory in model_directories():
        if not directory.is_dir():
            continue
        for child in sorted(directory.iterdir()):
            if child.name in bundles or not (child / BUNDLE_FILE).is_file():
                continue
            try:
                bundles[child.name] = load_bundle(child)
            except ModelError as error:
                errors.append(error)
    return list(bundles.values()), errors


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file as hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def damaged_files(bundle: Bundle) -> list[str]:
    """Return the names of files whose sha256 is not the recorded one."""
    return [
        name
        for name, digest in bundle.files.items()
        if file_sha256(bundle.directory / name) != digest
    ]
