import subprocess
import sys
from pathlib import Path

from valkey_server import ValkeyServer

_PROGRAM = Path(__file__).parents[1] / "benchmarks" / "nonces.py"


def test_four_processes_share_no_nonce_of_forty_thousand(valkey_server: ValkeyServer) -> None:
    """What the benchmark does with a million, for each kind of nonces: none twice, and each
    process, and each task in it, sees them grow.
    """
    result = subprocess.run(
        [sys.executable, _PROGRAM, "--nonces", "40000", "--state", valkey_server.url],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )

    assert 0 == result.returncode, result.stdout + result.stderr
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in result.stdout.splitlines()[2:]
    ]
    assert [["40,000", "4", "0", "0"]] * 2 == [[*row[1:3], *row[-2:]] for row in rows]
