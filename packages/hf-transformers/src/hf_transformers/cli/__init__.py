"""`hft`: every package of the house from the command line."""

from __future__ import annotations

import sys

import typer
from rich.markup import escape

from hf_hub_io.errors import HfError
from hf_transformers.cli.chat_command import chat
from hf_transformers.cli.dcp_command import dcp_to_hf
from hf_transformers.cli.demo_command import demo
from hf_transformers.cli.env_command import env
from hf_transformers.cli.export_command import export_code
from hf_transformers.cli.plan_command import plan
from hf_transformers.cli.quantize_command import quantize
from hf_transformers.cli.run_command import run
from hf_transformers.cli.show_command import show
from hf_transformers.cli.terminal import errors_console
from hf_transformers.cli.tokenize_commands import register
from hf_transformers.cli.train_command import train

# Commands import torch and models inside their bodies, so that `hft --help` stays instant.
app = typer.Typer(
    name="hft",
    help="Everything you do with a Hugging Face checkpoint. Start with: hft demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command()(demo)
app.command()(run)
app.command()(chat)
app.command()(train)
app.command()(quantize)
app.command()(show)
app.command()(plan)
app.command()(export_code)
app.command()(dcp_to_hf)
app.command()(env)
register(app)


def main() -> None:
    """Run `hft`. What is wrong with the user's input is one message and exit code 2, never a traceback."""
    try:
        app()
    except HfError as error:
        errors_console().print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(2)
    except BrokenPipeError:
        # `hft run ... | head` closes the pipe early, which is no error.
        sys.stderr.close()
        sys.exit(0)
