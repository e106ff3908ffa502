"""`privyseal` that takes KIIEX's sessions to last six seconds."""

from privyseald.cli.app import main
from privyseald.venues import kiiex_session

kiiex_session._SESSION_MS = 6_000

if __name__ == "__main__":
    main()
