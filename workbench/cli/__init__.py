"""The command line: ``workbench COMMAND``. What a command needs is imported when it is called."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from workbench import errors
from workbench.cli.parser import build_parser
from workbench.devices import WORKER_ENVIRONMENT

__all__ = ["EXIT_CODES", "exit_code", "main"]

FAILED, BAD_INPUT, DOES_NOT_FIT, LOST, INTERRUPTED = 1, 2, 3, 4, 130

EXIT_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (KeyboardInterrupt, INTERRUPTED),
    (errors.CancelledRunError, INTERRUPTED),
    (errors.InputError, BAD_INPUT),
    (errors.ModelNotFoundError, BAD_INPUT),
    (errors.AdapterError, BAD_INPUT),
    (errors.StudyVersionError, BAD_INPUT),
    (errors.AddressInUseError, BAD_INPUT),
    (errors.DoesNotFitError, DOES_NOT_FIT),
    (errors.InfeasibleError, DOES_NOT_FIT),
    (errors.LinkError, LOST),
    (errors.TransportError, LOST),
    (errors.WorkbenchError, FAILED),
)
"""The first class that an error is of gives the exit code."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: see ``workbench --help``."""
    args = build_parser().parse_args(arguments)
    try:
        code = _run(args)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader, say `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (errors.WorkbenchError, OSError, KeyboardInterrupt) as error:
        if args.debug:
            raise
        print(f"error: {_one_line(error)}", file=sys.stderr)
        return exit_code(error)


def exit_code(error: BaseException) -> int:
    """The exit code that an error gives."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), FAILED)


def _run(args: argparse.Namespace) -> int:
    for name, value in WORKER_ENVIRONMENT.items():  # read when torch is loaded, which a command may do
        os.environ.setdefault(name, value)
    code: int = import_module(f"workbench.cli.{args.module}").run(args)
    return code


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or ("interrupted" if exit_code(error) == INTERRUPTED else repr(error))
