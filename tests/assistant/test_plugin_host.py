from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from assistant.errors import BadInputError
from assistant.paths import data_directory
from assistant.plugin_host import PluginHost, PluginInfo

Install = Callable[..., None]

GOOD = """
    import click
    from assistant.plugin_api import Analyzer, Detector, Report, SlashCommand, hookimpl

    @hookimpl
    def register_commands():
        return [click.Command("wave", help="Wave.")]

    @hookimpl
    def register_detectors():
        return [Detector("good.greeting", "greeting", "good.look", lambda text: "hello" in text)]

    @hookimpl
    def register_analyzers():
        return [Analyzer("good.look", "Look", lambda text, progress, cancel: None)]

    @hookimpl
    def register_slash_commands():
        return [SlashCommand("wave", "Wave.", lambda arguments: "o/")]
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install a plugin as pip would: a module and a distribution with an entry point."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def install(name: str, source: str, version: str = "1.2.3") -> None:
        module = f"frontdesk_test_plugin_{name}"
        (site / f"{module}.py").write_text(textwrap.dedent(source))
        information = site / f"{module}-{version}.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {module}\nVersion: {version}\n"
        )
        (information / "entry_points.txt").write_text(f"[assistant.plugins]\n{name} = {module}\n")
        monkeypatch.delitem(sys.modules, module, raising=False)

    return install


def info(host: PluginHost, name: str) -> PluginInfo:
    return next(plugin for plugin in host.plugins if plugin.name == name)


def test_a_plugin_is_found_through_its_entry_point(install: Install) -> None:
    install("good", GOOD)
    host = PluginHost().load()
    found = info(host, "good")
    assert (found.version, found.enabled, found.error) == ("1.2.3", True, "")
    assert set(found.hooks) == {
        "register_commands",
        "register_detectors",
        "register_analyzers",
        "register_slash_commands",
    }
    assert found.load_ms > 0
    assert "wave" in [command.name for command in host.commands()]
    assert "good.look" in host.analyzers()
    assert "wave" in [command.name for command in host.slash_commands()]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise RuntimeError('no\\nway')", "RuntimeError: no way"),
        ("import no_such_library", "no_such_library"),
        ("def broken(:", "SyntaxError"),
        ("import sys; sys.exit(7)", "SystemExit"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_costs_itself_alone(
    install: Install, source: str, said: str
) -> None:
    install("bad", source)
    install("good", GOOD)
    lines: list[str] = []
    host = PluginHost(report=lines.append).load()
    assert said in info(host, "bad").error
    assert [line for line in lines if line.startswith("plugin bad")] == lines
    assert len(lines) == 1
    assert "wave" in [command.name for command in host.commands()]


def test_a_hook_that_fails_costs_its_plugin_alone_and_is_called_once(install: Install) -> None:
    install(
        "bad",
        """
        from assistant.plugin_api import hookimpl

        @hookimpl
        def register_commands():
            raise ValueError("later")

        @hookimpl
        def register_detectors():
            return 17

        @hookimpl
        def register_slash_commands():
            return [object()]
        """,
    )
    install("good", GOOD)
    lines: list[str] = []
    host = PluginHost(report=lines.append)
    for _ in range(2):
        assert "wave" in [command.name for command in host.commands()]
        assert "good.greeting" in [detector.name for detector in host.detectors()]
        assert "wave" in [command.name for command in host.slash_commands()]
    error = info(host, "bad").error
    assert "register_commands failed (ValueError: later)" in error
    assert "register_detectors failed" in error
    assert "register_slash_commands failed" in error
    assert len(lines) == 3


def test_a_command_that_is_none_cannot_break_the_help(install: Install) -> None:
    install(
        "bad",
        """
        from assistant.plugin_api import hookimpl

        def command(): ...
        command.name = "oops"

        @hookimpl
        def register_commands():
            return [command]
        """,
    )
    host = PluginHost(report=lambda line: None)
    assert "oops" not in [command.name for command in host.commands()]
    assert "is no Command" in info(host, "bad").error


def test_a_hook_of_another_version_of_the_api_is_reported(install: Install) -> None:
    install(
        "future",
        """
        from assistant.plugin_api import hookimpl

        @hookimpl
        def register_holograms():
            return []
        """,
    )
    host = PluginHost(report=lambda line: None).load()
    assert "register_holograms" in info(host, "future").error


def test_a_name_that_is_taken_goes_to_its_first_owner(install: Install) -> None:
    install("good", GOOD)
    install("second", GOOD)
    host = PluginHost(reserved_commands=["ask"], report=lambda line: None)
    assert [command.name for command in host.commands()].count("wave") == 1
    assert "'wave' is already good's" in info(host, "second").error
    assert info(host, "good").error == ""


def test_no_plugin_can_take_a_command_of_the_assistants(install: Install) -> None:
    install("good", GOOD)
    host = PluginHost(reserved_commands=["wave"], report=lambda line: None)
    assert "wave" not in [command.name for command in host.commands()]
    assert "the assistant" in info(host, "good").error


def test_a_disabled_plugin_is_not_imported_until_it_is_enabled(install: Install) -> None:
    install("good", GOOD)
    PluginHost().disable("good")
    sys.modules.pop("frontdesk_test_plugin_good")
    host = PluginHost().load()
    assert not info(host, "good").enabled
    assert "wave" not in [command.name for command in host.commands()]
    assert "frontdesk_test_plugin_good" not in sys.modules
    host.enable("good")
    assert "wave" in [command.name for command in PluginHost().commands()]


def test_a_broken_plugin_can_be_disabled(install: Install) -> None:
    install("bad", "raise RuntimeError")
    PluginHost(report=lambda line: None).disable("bad")
    lines: list[str] = []
    host = PluginHost(report=lines.append).load()
    assert (info(host, "bad").enabled, info(host, "bad").error, lines) == (False, "", [])


def test_an_unknown_plugin_cannot_be_enabled() -> None:
    with pytest.raises(BadInputError, match="nobody"):
        PluginHost().enable("nobody")


@pytest.mark.parametrize("content", ["{", "[]", '{"disabled": 3}', "\x00"])
def test_a_damaged_state_file_enables_all_plugins_and_says_so(
    install: Install, content: str
) -> None:
    install("good", GOOD)
    data_directory().mkdir(parents=True)
    (data_directory() / "plugins.json").write_text(content)
    lines: list[str] = []
    host = PluginHost(report=lines.append).load()
    assert info(host, "good").enabled
    assert len(lines) == 1
    host.disable("good")
    assert json.loads((data_directory() / "plugins.json").read_text()) == {"disabled": ["good"]}


def test_the_surest_detector_with_an_analyzer_wins(install: Install) -> None:
    install("good", GOOD)
    install(
        "other",
        """
        from assistant.plugin_api import Detector, hookimpl

        def explode(text):
            raise OSError("no")

        @hookimpl
        def register_detectors():
            return [
                Detector("other.explodes", "x", "good.look", explode),
                Detector("other.nobody", "x", "no.such.analyzer", lambda text: 1.0),
                Detector("other.weak", "x", "good.look", lambda text: 0.49),
            ]
        """,
    )
    lines: list[str] = []
    host = PluginHost(report=lines.append)
    detector = host.detect("hello there")
    assert detector is not None
    assert detector.name == "good.greeting"
    assert host.detect("17") is None
    assert any("other.explodes" in line for line in lines)
