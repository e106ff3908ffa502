"""A worker's end of the socket that joins it to its supervisor."""

import asyncio
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

import structlog
from pydantic import ValidationError

from privyseald.config import Config
from privyseald.config_error import ConfigInvalid
from privyseald.unforeseen import new_error_id, trace_of
from privyseald.workers.parent_death import die_with_parent
from privyseald.workers.report import Report

_REPORT_PAUSE_S = 0.25
_log = structlog.get_logger("privyseald.workers")


class WorkerLink:
    """Brings the configuration, takes reports, and ends when the supervisor does.

    The socket is the worker's standard input, so that nobody else's file can be taken for it.
    """

    def __init__(self, link: socket.socket, config: Config) -> None:
        self._socket = link
        self.config = config

    @classmethod
    def take(cls) -> "WorkerLink":
        """Take standard input and what the supervisor sent. Raises ConfigInvalid where somebody
        else started this process.

        Until the reports begin, this process is killed if the supervisor ends: a start that
        hangs does not look at the socket.
        """
        die_with_parent(wanted=True)
        try:
            link = socket.socket(fileno=os.dup(sys.stdin.fileno()))
        except OSError as error:
            raise _started_by_hand() from error
        try:
            with link.makefile("rb") as lines:
                config = Config.model_validate_json(lines.readline())
            if _has_ended(link):
                raise ConnectionResetError
            return cls(link, config)
        except (OSError, ValidationError) as error:
            link.close()
            raise _started_by_hand() from error

    def refuse(self, cause: str) -> None:
        """Tell why the configuration can't be right, before the reports begin."""
        with suppress(OSError):
            self._socket.sendall(Report(invalid=cause).to_line())

    async def report(
        self, is_ready: Callable[[], bool], metrics: Callable[[], bytes] = bytes
    ) -> None:
        """Tell again and again whether this worker is ready, and its metrics when the supervisor
        asks; return when nobody is told.
        """
        reader, writer = await asyncio.open_unix_connection(sock=self._socket)
        die_with_parent(wanted=False)
        try:
            while True:
                writer.write(Report(is_ready=is_ready()).to_line())
                with suppress(TimeoutError):
                    async with asyncio.timeout(_REPORT_PAUSE_S):
                        asked = await reader.read(1)
                    if not asked:
                        return
                    report = Report(is_ready=is_ready(), metrics=_text_of(metrics))
                    writer.write(report.to_line())
        except ConnectionError:
            return
        finally:
            writer.close()


def _text_of(metrics: Callable[[], bytes]) -> str:
    """Return the metrics; nothing where making them fails, for a worker must go on to report."""
    try:
        return metrics().decode()
    except Exception as error:  # noqa: BLE001 - whatever a scrape finds, the worker goes on to sign
        _log.error("internal error in metrics", error_id=new_error_id(), cause=trace_of(error))
        return ""


def _has_ended(link: socket.socket) -> bool:
    """Whether the supervisor ended before this process could ask to be killed with it."""
    try:
        return link.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False


def _started_by_hand() -> ConfigInvalid:
    return ConfigInvalid(
        "--worker is for the workers that 'privyseal serve' starts itself, as long as it is "
        "there; to have several, set server.workers"
    )
