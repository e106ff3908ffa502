"""Options that several commands on keys have."""

from pathlib import Path
from typing import Annotated

import typer

from privyseald.cli.connect import CLIENT_FILE

CLIENT = Path(CLIENT_FILE)
KeyId = Annotated[str, typer.Argument(help="The key's id, such as 'whitebit-main'.")]
Venue = Annotated[str, typer.Option("--venue", help="The venue, such as 'whitebit'.")]
Environment = Annotated[
    str, typer.Option("--environment", help="The venue's environment; its first if left out.")
]
RequestId = Annotated[
    str, typer.Option("--request-id", help="A UUID; a retry with it does nothing twice.")
]
