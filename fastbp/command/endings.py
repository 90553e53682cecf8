"""How a command ends: every bad input is one line and exit code 2, an interruption one line and 130."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import Any

import click

BAD_INPUT = 2
INTERRUPTED = 130
UNSAVED = "fastbp.unsaved"  # of a context: the file that is to be written at the end, while it is not


def on_terminal() -> bool:
    """Whether what is said on the way is seen in a terminal; standard error may be closed."""
    return sys.stderr is not None and sys.stderr.isatty()


class BadInput(click.ClickException):
    """One line on stderr and exit code 2."""

    exit_code = BAD_INPUT

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class Narrator:
    """Prints lines as long as somebody reads them: who leaves before all is saved does not cost the rest."""

    def __init__(self, *, quiet: bool, saves: bool) -> None:
        self._quiet, self._saves = quiet, saves
        self._left: BrokenPipeError | None = None

    def __call__(self, line: str) -> None:
        if self._quiet or self._left:
            return
        try:
            click.echo(line)
        except BrokenPipeError as error:
            if not self._saves:
                raise
            self._left = error

    def end(self) -> None:
        """All is saved: if the reader has left, end as other commands do."""
        if self._left:
            raise self._left


class PlainEndings(click.Group):
    """A group of commands that end without a traceback, whatever their input was."""

    def main(self, args: Sequence[str] | None = None, *more: Any, **options: Any) -> Any:
        """Run a command; what cannot be printed in the terminal's encoding is printed as its escape."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        return super().main(args, *more, **options)

    def make_context(self, *arguments: Any, **options: Any) -> click.Context:
        """Parse the words before the command's name."""
        try:
            return super().make_context(*arguments, **options)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            raise BadInput(error.format_message().removesuffix(".")) from None
        except BrokenPipeError:
            raise
        except OSError as error:  # of printing the help or the version
            raise _failed(error) from error

    def invoke(self, ctx: click.Context) -> Any:
        """Parse and run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            unsaved = f" Nothing was saved as {click.format_filename(path)}." if (path := ctx.meta.get(UNSAVED)) else ""
            click.echo(("\n" if on_terminal() else "") + f"Interrupted.{unsaved}", err=True)
            ctx.exit(INTERRUPTED)
        except click.UsageError as error:
            raise BadInput(error.format_message().removesuffix(".")) from None
        except BrokenPipeError:
            raise  # click ends quietly when nobody reads on
        except MemoryError:
            raise BadInput("there is not enough memory for this") from None
        except OSError as error:
            raise _failed(error) from error
        except (ValueError, FloatingPointError) as error:
            raise BadInput(str(error)) from error


def _failed(error: OSError) -> BadInput:
    """What failed, by its name: every file that is opened has one, so that what has none is what is printed to."""
    if error.filename or error.errno is None:
        where = f"{click.format_filename(error.filename)}: " if error.filename else ""
        return BadInput(f"{where}{error.strerror or error}")
    return BadInput(f"standard output cannot be written: {error.strerror}")
