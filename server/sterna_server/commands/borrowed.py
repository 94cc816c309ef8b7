"""Commands that take the options of other commands."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

Command = Callable[..., None]


def with_options_of(*others: Command, **own: Any) -> Callable[[Command], Command]:
    """Gives a command the options of `others`, beside its own flags, which are off by default.

    `own` are annotations of typer, by parameter. The command gets everything as keyword arguments.
    """

    def decorate(command: Command) -> Command:
        parameters = {
            name: inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=annotation
            )
            for name, annotation in own.items()
        }
        for other in others:
            for name, each in inspect.signature(other, eval_str=True).parameters.items():
                parameters[name] = each.replace(kind=inspect.Parameter.KEYWORD_ONLY)

        def run(**values: Any) -> None:
            command(**values)

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__signature__ = inspect.Signature(list(parameters.values()))  # type: ignore[attr-defined]
        run.__annotations__ = {name: each.annotation for name, each in parameters.items()}
        return run

    return decorate
