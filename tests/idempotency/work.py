"""Something to be done once, and how its answer travels."""

import asyncio

# Short, as a test waits for its end.
CLAIM_TTL_MS = 1_000
ID = "8b1f3a52-5f0e-4a1c-9a51-0b8f1d6f7c11"


class Work:
    """Counts what was done, and can be held up or made to fail."""

    def __init__(self) -> None:
        self.done = 0
        self.go = asyncio.Event()
        self.go.set()
        self.failure: BaseException | None = None

    async def __call__(self) -> int:
        """Return how often it was done."""
        self.done += 1
        count = self.done
        await self.go.wait()
        if self.failure is not None:
            raise self.failure
        return count


class IntCodec:
    """Numbers as text."""

    def dump(self, answer: int) -> bytes:
        """Return its digits."""
        return str(answer).encode()

    def load(self, data: bytes) -> int:
        """Return the number of the digits. Raises ValueError."""
        return int(data)


CODEC = IntCodec()


async def turns() -> None:
    """Let all go on that waits for nothing but its turn."""
    for _ in range(20):
        await asyncio.sleep(0)
