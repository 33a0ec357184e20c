"""models, plugins, doctor: what needs no weights."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from assistant.bundle import Architecture, Bundle, file_sha256
from assistant.cli.benchmark import measure_chat
from assistant.testing import ScriptedChatModel
from assistant.tokenizer import TokenizerSpec, write_ranks


@pytest.fixture
def bundle() -> Bundle:
    """A bundle that lacks nothing but a real graph."""
    directory = Path(os.environ["FRONTDESK_MODELS"]) / "support-chat"
    directory.mkdir(parents=True)
    write_ranks(directory / "tokenizer.tiktoken", {bytes([n]): n for n in range(256)})
    (directory / "model.onnx").write_bytes(b"no graph")
    spec = TokenizerSpec(
        "tokenizer.tiktoken", r"\S+|\s+", {"<|im_start|>": 256, "<|im_end|>": 257}, 258
    )
    files = ("tokenizer.tiktoken", "model.onnx")
    bundle = Bundle(
        directory=directory,
        name="support-chat",
        task="chat",
        architecture=Architecture(1, 8, 2, 1, 4, 16, 258),
        context_length=64,
        tokenizer_spec=spec,
        graph={"file": "model.onnx"},
        files={name: file_sha256(directory / name) for name in files},
        description="Answers \x1b[31mquestions",
        chat={"system_prompt": "Be kind.", "generation": {"temperature": 0.0}},
        provenance={"foundation": "none"},
    )
    (directory / "bundle.json").write_text(json.dumps(bundle.to_json()))
    return bundle


def test_models_list_and_info_describe_a_bundle(run, bundle: Bundle) -> None:
    listed = run("models", "list")
    assert listed.code == 0
    assert "support-chat" in listed.out
    assert "\x1b" not in listed.out
    (data,) = json.loads(run("models", "list", "--json").out)
    assert (data["name"], data["context_length"]) == ("support-chat", 64)
    described = run("models", "info", "support-chat").out
    assert "foundation" in described
    assert "2 (1 for keys and values)" in described
    assert json.loads(run("models", "info", "support-chat", "--json").out)["format_version"] == 1


def test_models_list_without_any_model_exits_with_4(run) -> None:
    result = run("models", "list")
    assert (result.code, result.out) == (4, "")
    assert "FRONTDESK_MODELS" in result.err


def test_models_verify_finds_a_changed_file_by_its_hash(run, bundle: Bundle) -> None:
    (bundle.directory / "model.onnx").write_bytes(b"no grapH")
    result = run("models", "verify")
    assert (result.code, result.out) == (4, "")
    assert "model.onnx is not what was exported" in result.err
    (row,) = json.loads(run("models", "verify", "--json").out)
    assert (row["name"], row["sound"]) == ("support-chat", False)


def test_models_verify_compares_with_the_golden_records(
    run, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []
    monkeypatch.setattr("assistant.engine.golden.check_golden", lambda bundle: found)
    assert run("models", "verify").out == "support-chat: sound\n"
    found.append("'Hello': 12% of the recorded tokens")
    result = run("models", "verify", "support-chat")
    assert result.code == 4
    assert "12% of the recorded tokens" in result.err


def test_models_verify_of_a_graph_that_does_not_load_exits_with_4(run, bundle: Bundle) -> None:
    result = run("models", "verify")
    assert result.code == 4
    assert "Traceback" not in result.err


def test_models_verify_of_an_unknown_model_exits_with_4(run) -> None:
    assert run("models", "verify", "nope").code == 4


def test_plugins_can_be_disabled_and_enabled(run) -> None:
    listed = {p["name"]: p for p in json.loads(run("plugins", "list", "--json").out)}
    assert listed["email_spam"]["enabled"]
    assert run("plugins", "disable", "email_spam").code == 0
    row = next(r for r in run("plugins", "list").out.splitlines() if r.startswith("email_spam"))
    assert "disabled" in row
    assert run("spam").code == 2
    assert run("plugins", "enable", "email_spam").code == 0
    assert run("plugins", "enable", "nobody").code == 3


def test_doctor_reports_as_json_and_fails_without_a_model(run) -> None:
    result = run("doctor", "--json")
    report = json.loads(result.out)
    assert result.code == 4
    assert report["versions"]["click"]
    assert report["processor"]["physical_cores"] >= 1
    assert report["models"] == [
        {"name": "support-chat", "task": "chat", "problem": "There is no chat model"}
    ]
    assert report["database"]["problems"] == []


def test_doctor_says_what_it_watched_and_what_it_cannot_see(run, model: ScriptedChatModel) -> None:
    run("ask", "q")
    out = run("doctor").out
    assert "1 conversations, 2 messages" in out
    assert "audit events" in out
    assert "not seen: a socket that native code opened and closed" in out


def test_doctor_loads_and_asks_the_model(
    run, bundle: Bundle, model: ScriptedChatModel, tmp_path: Path
) -> None:
    result = run("doctor")
    assert result.code == 0
    assert "support-chat chat: loads and answers" in result.out
    assert len(model.prompts) == 1


def in_process(code: str) -> list[str]:
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            "import json, socket\n"
            "from assistant.cli.socket_watch import network_use, watch_sockets\n"
            f"watch_sockets()\n{code}\nprint(json.dumps(network_use()))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[str] = json.loads(result.stdout)
    return found


def test_the_watch_sees_a_socket_and_a_name_lookup() -> None:
    assert in_process("") == []
    assert "socket.getaddrinfo" in in_process("socket.getaddrinfo('127.0.0.1', 80)")
    seen = in_process("s = socket.socket(); s.bind(('127.0.0.1', 0))")
    assert "socket.bind" in seen


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_watch_sees_an_open_socket_that_raised_no_audit_event() -> None:
    code = (
        "import ctypes\n"
        "fd = ctypes.CDLL(None).socket(2, 2, 0)\n"
        "address = b'\\x02\\x00\\x00\\x00\\x7f\\x00\\x00\\x01' + bytes(8)\n"
        "assert ctypes.CDLL(None).bind(fd, address, 16) == 0\n"
    )
    assert any(event.startswith("open socket") for event in in_process(code))


def test_the_watch_leaves_local_sockets_alone() -> None:
    assert in_process("a, b = socket.socketpair()") == []


def test_the_benchmark_measures_a_chat_model(run, model: ScriptedChatModel) -> None:
    model.answers = ["one two three four"]
    result = measure_chat("support-chat")
    # The scripted model reports 1 ms to the first token and 100 tokens/s.
    assert result["time_to_first_token_ms"] == 1.0
    assert result["decode_tokens_per_second"] == 100.0
    assert result["decode_tokens"] == 4
    assert result["prefill_tokens_per_second"] == pytest.approx(result["prefill_tokens"] * 1000)
    assert 400 < result["prefill_tokens"] <= 512
    assert result["follow_up_ms"] == 1.0
    for wanted, at in zip((50, 500, 1500), result["contexts"], strict=True):
        assert 0.8 * wanted < at["prompt_tokens"] <= wanted
        assert at["decode_tokens_per_second"] == 100.0
    # nothing is measured that a cached beginning would make faster
    texts = [messages[-1].content for messages in model.prompts]
    assert len({text.split()[0] for text in texts}) >= 3 * 5
    assert len(set(texts)) == len(texts)


def test_the_benchmark_leaves_out_contexts_beyond_the_models(run, model: ScriptedChatModel) -> None:
    model.context_length = 600
    assert [at["prompt_tokens"] > 100 for at in measure_chat("s")["contexts"]] == [False, True]


def test_the_benchmark_goes_on_without_a_classifier(run, model: ScriptedChatModel) -> None:
    result = run("benchmark", "--json")
    data = json.loads(result.out)
    assert (result.code, data["classifier"]) == (0, None)
    assert data["peak_memory_mb"] > 1
    assert "no classifier" in result.err
    assert "time to first token" in run("benchmark").out
