import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from privyseald.audit.entry import Entry
from privyseald.log import RPC_OF_LOG, configure_log


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        """Return True."""
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Leaves the log as other tests expect it."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.mark.parametrize("form", ["json", "auto"])
def test_a_line_is_json_where_no_terminal_reads(form: str) -> None:
    """One object a line, with level and UTC time, whatever the texts hold."""
    stream = io.StringIO()
    configure_log("info", form, stream)

    structlog.get_logger().warning("store away\nforged", reason="SEALED", port=7443)

    assert 1 == stream.getvalue().count("\n")
    line = json.loads(stream.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert {
        "event": "store away\nforged",
        "level": "warning",
        "reason": "SEALED",
        "port": 7443,
    } == line


@pytest.mark.parametrize(("form", "stream"), [("text", io.StringIO()), ("auto", Terminal())])
def test_a_line_is_text_where_people_read(form: str, stream: io.StringIO) -> None:
    """Asked for by name, or on a terminal."""
    configure_log("info", form, stream)

    structlog.get_logger().info("ready", port=7443)

    assert not stream.getvalue().startswith("{")
    assert "ready" in stream.getvalue()


def test_text_in_a_file_has_no_colours() -> None:
    """Escape codes are for terminals."""
    stream, terminal = io.StringIO(), Terminal()
    for each in (stream, terminal):
        configure_log("info", "text", each)
        structlog.get_logger().info("ready")

    assert (False, True) == ("\x1b" in stream.getvalue(), "\x1b" in terminal.getvalue())


def test_json_can_be_asked_for_on_a_terminal() -> None:
    """`json` means JSON, also there."""
    stream = Terminal()
    configure_log("info", "json", stream)
    structlog.get_logger().info("ready")

    assert "ready" == json.loads(stream.getvalue())["event"]


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_only_the_level_and_above_is_written(level: str) -> None:
    """What is below the configured level costs nothing and shows nothing."""
    stream = io.StringIO()
    configure_log(level, "json", stream)
    logger = structlog.get_logger()
    for each in ("debug", "info", "warning", "error"):
        getattr(logger, each)(each)

    order = logging.getLevelNamesMapping()
    assert [
        each
        for each in ("debug", "info", "warning", "error")
        if order[each.upper()] >= order[level.upper()]
    ] == [json.loads(line)["event"] for line in stream.getvalue().splitlines()]


def test_lines_go_to_standard_error_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output belongs to the audit log."""
    configure_log("info", "json")
    structlog.get_logger().info("ready")

    captured = capsys.readouterr()
    assert "" == captured.out
    assert "ready" == json.loads(captured.err)["event"]


def test_each_line_of_a_worker_names_it() -> None:
    """Several workers write to one stream; a line that has a worker of its own keeps it."""
    stream = io.StringIO()
    configure_log("info", "json", stream, worker=3)
    structlog.get_logger().info("ready")
    structlog.get_logger().info("died", worker=7)

    assert [3, 7] == [json.loads(line)["worker"] for line in stream.getvalue().splitlines()]


def test_a_line_names_the_rpc_that_it_is_about() -> None:
    """As long as that goes on; what the event itself says of it stays."""
    stream = io.StringIO()
    configure_log("info", "json", stream)
    entry = Entry("v1.Service/Rpc", request_id="id-1", trace_id="4bf9")
    token = RPC_OF_LOG.set(entry)
    try:
        structlog.get_logger().info("within")
        structlog.get_logger().info("about another", rpc="v1.Service/Other")
        entry.request_id = entry.trace_id = ""
        structlog.get_logger().info("not known yet")
        entry.code = "OK"
        structlog.get_logger().info("left behind")
    finally:
        RPC_OF_LOG.reset(token)
    structlog.get_logger().info("outside")

    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    told = [{key: line.get(key) for key in ("rpc", "request_id", "trace_id")} for line in lines]
    nothing = {"rpc": None, "request_id": None, "trace_id": None}
    assert told == [
        {"rpc": "v1.Service/Rpc", "request_id": "id-1", "trace_id": "4bf9"},
        {"rpc": "v1.Service/Other", "request_id": "id-1", "trace_id": "4bf9"},
        {**nothing, "rpc": "v1.Service/Rpc"},
        nothing,
        nothing,
    ]
