"""`privyseal policy`: is what I wrote right, and what does it say?"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from privyseald.cli.connect import Json
from privyseald.cli.output import USAGE, console, fail, print_json, warn
from privyseald.cli.policy_explain import explain
from privyseald.config_error import ConfigInvalid
from privyseald.policy.file import load_policy
from privyseald.policy.review import review
from privyseald.policy.rule import Effect
from privyseald.policy.schema import policy_schema
from privyseald.venues.registry import Venues

app = typer.Typer(no_args_is_help=True, help="Look at the policy.")
app.command("explain")(explain)


@app.callback()
def _policy() -> None:
    """Look at the policy."""


@app.command("check")
def check(
    file: Annotated[Path, typer.Argument(help="The policy file, in YAML.")], as_json: Json = False
) -> None:
    """Read a policy as 'serve' does, and say which rules can never change a decision."""
    venues = Venues()
    try:
        rules = load_policy(file, venues)
    except ConfigInvalid as error:
        fail(str(error), USAGE)
    denying = sum(rule.effect is Effect.DENY for rule in rules)
    shadow = [rule.name for rule in rules if rule.shadow]
    remarks = review(rules, venues)
    if as_json:
        print_json(
            {
                "rules": len(rules),
                "allow": len(rules) - denying,
                "deny": denying,
                "shadow": shadow,
                "remarks": [{"rule": each.rule, "text": each.text} for each in remarks],
            }
        )
        return
    for each in remarks:
        warn(f"rule '{each.rule}' {each.text}")
    console.print(
        f"[green]ok[/green]: {file} can be enforced: {_counted(len(rules), 'rule')}, "
        f"{len(rules) - denying} allow and {denying} deny"
        + (f"; in shadow: {', '.join(shadow)}" if shadow else "")
    )


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of policy files, for editors."""
    sys.stdout.write(policy_schema())


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
