"""When it is time for the next file."""

from privyseald.audit_config import AuditConfig
from privyseald.clock import Clock

_AGAIN_MS = 60_000


class FileTurn:
    """Knows how long the file is written, and when a rotation that failed is tried again."""

    def __init__(self, config: AuditConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self._begun_ms = clock.monotonic_ms()
        self._not_before_ms = 0

    def is_due(self, size: int) -> bool:
        """Whether a file of so many bytes is long, or old, enough."""
        config, now_ms = self._config, self._clock.monotonic_ms()
        is_old = 0 < config.rotate_age_ms <= now_ms - self._begun_ms
        is_long = size >= config.rotate_bytes
        return (is_long or (is_old and size > 0)) and now_ms >= self._not_before_ms

    def begin(self) -> None:
        """Note that a new file was begun."""
        self._begun_ms = self._clock.monotonic_ms()

    def put_off(self) -> None:
        """Note that no new file could be begun."""
        self._not_before_ms = self._clock.monotonic_ms() + _AGAIN_MS
