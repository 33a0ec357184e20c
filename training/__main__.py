"""The command ``training``: one subcommand a stage, each imported when it is called."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from assistant.errors import AssistantError, ExitCode
from training.world import primary, rank, world_size

HOUSE = Path(__file__).resolve().parent

# Name, where the click command is, and its line in the overview: the overview must not import
# torch. A stage that is not there is not listed.
COMMANDS: dict[str, tuple[str, str]] = {
    "tokenizer": (
        "training.tokenizer.command:command",
        "Train a byte-level BPE tokenizer on text files.",
    ),
    "prepare": (
        "training.data.command:command",
        "Turn text files into shards of token ids.",
    ),
    "pretrain": (
        "training.pretraining.command:command",
        "Train a foundation model on prepared data.",
    ),
    "sample": (
        "training.sampling:command",
        "Complete, answer or classify a text with any checkpoint.",
    ),
    "finetune": (
        "training.finetuning.command:command",
        "Fine-tune a foundation model for chat or for classification.",
    ),
    "handbook": (
        "training.handbook.command:command",
        "Make the answers a chat model looks up, and put them into a bundle.",
    ),
    "evaluate": (
        "training.evaluation.command:command",
        "Measure a checkpoint on held-out data.",
    ),
    "import": (
        "training.importing.command:command",
        "Turn an open model's weights into a checkpoint.",
    ),
    "export": (
        "training.exporting.command:command",
        "Turn a checkpoint into a bundle that the assistant runs.",
    ),
    "card": (
        "training.exporting.card_command:command",
        "Put measured figures and sample answers into a bundle's model card.",
    ),
    "plan": (
        "training.planning:command",
        "Measure a few steps here and say what each preset would take.",
    ),
    "pipeline": (
        "training.pipeline.command:command",
        "Run every stage, end to end, on the repository's sample data.",
    ),
}
TRAIN_PACKAGES = {
    "torch",
    "safetensors",
    "tokenizers",
    "onnx",
    "gguf",
    "sklearn",
    "matplotlib",
    "rich",
    "zstandard",
}


def _exists(target: str) -> bool:
    path = HOUSE.joinpath(*target.partition(":")[0].split(".")[1:])
    return path.with_suffix(".py").exists()


class _Stages(click.Group):
    """Finds its commands in the table above."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, (target, _) in COMMANDS.items() if _exists(target)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target, _ = COMMANDS.get(cmd_name, ("", ""))
        if not target or not _exists(target):
            return None
        module, _, attribute = target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.group(cls=_Stages, context_settings={"help_option_names": ["-h", "--help"]})
def group() -> None:
    """Make the assistant's models: data, pretraining, fine-tuning, evaluation, export.

    Set TRAINING_DEBUG=1 to see where in the code an error comes from.
    """


def main() -> None:
    """Run the command line; errors become one line on stderr and an exit code."""
    try:
        _run()
    finally:
        if world_size() > 1 and "torch" in sys.modules:
            from training.parallel import leave

            leave()


def _run() -> None:
    try:
        group.main(prog_name="training", standalone_mode=False)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _fail("interrupted", ExitCode.INTERRUPTED)
    except BrokenPipeError:
        os._exit(ExitCode.FAILED)  # the reader of our output has gone; there is nobody to tell
    except AssistantError as error:
        _fail(f"error: {error}", error.exit_code)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in TRAIN_PACKAGES:
            raise
        _fail(
            f"error: training needs the package {error.name}: "
            "install the train extra (pip install -e '.[train]')",
            ExitCode.FAILED,
        )
    except ValueError as error:
        _fail(f"error: {error}", ExitCode.FAILED)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"error: {place}{error.strerror or error}", ExitCode.FAILED)
    except Exception as error:
        from training.run import Paused

        if not isinstance(error, Paused):
            raise
        code = ExitCode.INTERRUPTED if error.interrupted else ExitCode.DONE
        if not primary():
            sys.exit(int(code))
        _fail(str(error), code)


def _fail(line: str, code: int) -> NoReturn:
    if not primary():
        line = f"process {rank()}: {line}"
    if os.environ.get("TRAINING_DEBUG") and sys.exc_info()[0] is not None:
        import traceback

        traceback.print_exc()
    print(line, file=sys.stderr)
    sys.exit(int(code))


if __name__ == "__main__":
    main()
