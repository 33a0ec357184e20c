"""Settings: presets, files, overrides, and errors that help."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from training.config import describe, help_text, load_config, presets, to_json
from training.pretraining.config import PretrainConfig


@dataclass(frozen=True)
class Inner:
    steps: int = 10
    """Steps to go."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Two decays."""


@dataclass(frozen=True)
class Outer:
    stage: ClassVar[str] = "nothing"
    kind: Literal["fast", "slow"] = "fast"
    """How."""
    data: Path = Path("a")
    """Where."""
    name: str = "x"
    names: tuple[str, ...] = ()
    weights: dict[str, float] = field(default_factory=dict)
    limit: int | None = None
    loop: Inner = field(default_factory=Inner)


def test_overrides_win_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('name = "file"\nkind = "slow"\n[loop]\nsteps = 3\n[weights]\na = 1\n')
    config = load_config(Outer, None, file, ["loop.steps=5", "weights.b=0.5"])
    assert (config.name, config.kind, config.loop.steps) == ("file", "slow", 5)
    assert config.loop.betas == (0.9, 0.95)
    assert config.weights == {"a": 1.0, "b": 0.5}


def test_a_value_is_read_as_its_fields_type() -> None:
    config = load_config(
        Outer,
        overrides=["name=12", "data=b/c", 'names=["p", "q"]', "limit=4", "loop.betas=[0, 1]"],
    )
    assert config.name == "12"
    assert config.data == Path("b/c")
    assert config.names == ("p", "q")
    assert config.limit == 4
    assert config.loop.betas == (0.0, 1.0)
    assert load_config(Outer, overrides=["limit=none"]).limit is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("loop.stpes=1", "'loop.stpes'; did you mean 'loop.steps'?"),
        ("lop.steps=1", "'lop'; did you mean 'loop'?"),
        ("kind=fats", "expected one of fast, slow; did you mean 'fast'?"),
        ("loop.steps=many", "loop.steps = 'many': expected int"),
        ("loop.steps=1.5", "expected int"),
        ("loop=3", "loop is a group"),
        ("loop.betas=[1]", "expected 2 values"),
        ("steps", "expected key=value"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_meant(override: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("?", r"\?").replace("[", r"\[")):
        load_config(Outer, overrides=[override])


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'tny'.*did you mean 'tiny'"):
        load_config(PretrainConfig, "tny")


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("a = [")
    with pytest.raises(ValueError, match=r"c\.toml is no valid TOML"):
        load_config(Outer, None, file)
    with pytest.raises(ValueError, match="cannot be read"):
        load_config(Outer, None, tmp_path / "missing.toml")


def test_missing_settings_are_named() -> None:
    with pytest.raises(ValueError, match=r"No value for model.*--preset"):
        load_config(PretrainConfig)


@pytest.mark.parametrize("name", presets("pretrain"))
def test_every_preset_loads_and_has_the_shape_it_promises(name: str) -> None:
    from training.model import Transformer, parameter_count

    vocabulary = {"tiny": 512, "cpu": 4096, "small": 8192, "base": 16384, "large": 16384}
    millions = {"tiny": 0.13, "cpu": 2.4, "small": 28, "base": 64, "large": 101}
    config = load_config(PretrainConfig, name)
    architecture = config.model.architecture(vocabulary[name])
    count = parameter_count(Transformer(architecture, config.context_length)) / 1e6
    assert count == pytest.approx(millions[name], rel=0.08)


def test_field_docstrings_are_the_help() -> None:
    settings = {setting.key: setting for setting in describe(Outer)}
    assert settings["loop.steps"].help == "Steps to go."
    assert settings["loop.steps"].default == "10"
    assert "loop.betas" in help_text(Outer)
    undocumented = [s.key for s in describe(PretrainConfig) if not s.help]
    assert undocumented == []


def test_a_config_survives_json() -> None:
    from training.config import build

    config = load_config(Outer, overrides=["weights.a=1", "data=z"])
    assert build(Outer, to_json(config)) == config
