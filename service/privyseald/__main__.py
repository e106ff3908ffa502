"""`python -m privyseald` is the command `privyseal`."""

from privyseald.cli.app import main

main()
