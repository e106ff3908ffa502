"""Options of the form NAME=VALUE."""

from typing import Annotated

import typer

from privyseald.cli.output import USAGE, fail

Fields = Annotated[
    list[str] | None,
    typer.Option("--field", help="NAME=VALUE of a public field, such as api_key=…; repeatable."),
]
Labels = Annotated[
    list[str] | None, typer.Option("--label", help="NAME=VALUE for people and tools; repeatable.")
]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", help="NAME=VALUE of one of the venue's options; repeatable."),
]


def pairs(texts: list[str] | None, option: str) -> dict[str, str]:
    """Return the names and values. Ends the program where one has no '='."""
    found: dict[str, str] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not equals or not name:
            fail(f"{option} takes NAME=VALUE", USAGE)
        if name in {"api_secret", "private_key", "secret"}:
            fail(f"{option} {name}: a secret is never an argument", USAGE, "use --secret-file")
        if name in found:
            fail(f"{option} {name} is given twice", USAGE)
        found[name] = value
    return found
