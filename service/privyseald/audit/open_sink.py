"""From the configuration to the sink of the audit log."""

from pathlib import Path

from privyseald.audit.log_file import LogFile, is_plain
from privyseald.audit.log_stream import LogStream
from privyseald.audit.sink import Sink
from privyseald.audit_config import AuditConfig
from privyseald.config_error import ConfigInvalid


def open_sink(config: AuditConfig, worker: int) -> Sink:
    """Open the file, or standard output where none is named. Raises ConfigInvalid."""
    if config.file is None:
        return LogStream.open_stdout()
    path = path_of(config.file, worker)
    try:
        if not is_plain(path):
            return LogStream.open_path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        return LogFile.open_path(path, sync=config.sync == "batch", keep=config.keep_files)
    except OSError as error:
        raise ConfigInvalid(
            f"audit.file: {path} can't be opened for appending ({error.strerror})"
        ) from error


def path_of(path: Path, worker: int) -> Path:
    """Return the file of a worker, beside the one that is named; 0 is a process alone."""
    return path.with_name(f"{path.stem}-worker-{worker}{path.suffix}") if worker else path
