"""Signs a door's requests and reports the answers to them, blocking and for asyncio."""

from privyseal.async_client import AsyncClient
from privyseal.client import Client
from privyseal.door import SESSION_MISSING, Door, Outgoing
from privyseal.errors import PrivysealError
from privyseal.v1 import signing_service_pb2 as pb


class Signer:
    """Signs for one door with a `Client`."""

    def __init__(self, client: Client, door: Door) -> None:
        self._client = client
        self.door = door

    def sign(self, outgoing: Outgoing) -> pb.SignResponse:
        """Return what to send. Raises PrivysealError."""
        retried = self._client.max_attempts > 1
        try:
            return self._client.sign(self.door.sign_request(outgoing, retried=retried))
        except PrivysealError as error:
            if error.reason != SESSION_MISSING or not self.door.login:
                raise
        self._client.login(pb.LoginRequest(key=self.door.key))
        return self._client.sign(self.door.sign_request(outgoing, retried=retried))

    def report(
        self, signed: pb.SignResponse, status: int, body: bytes, date: str, within_s: float
    ) -> None:
        """Report an answer. What becomes of the report is not the caller's concern."""
        request = self.door.report_request(signed, status, body, date)
        try:
            self._client.report_answer(request, timeout_s=within_s)
        except PrivysealError:
            return

    def __repr__(self) -> str:
        return f"{self.door.key!r}, {self._client!r}"


class AsyncSigner:
    """Signs for one door with an `AsyncClient`."""

    def __init__(self, client: AsyncClient, door: Door) -> None:
        self._client = client
        self.door = door

    async def sign(self, outgoing: Outgoing) -> pb.SignResponse:
        """Return what to send. Raises PrivysealError."""
        retried = self._client.max_attempts > 1
        try:
            return await self._client.sign(self.door.sign_request(outgoing, retried=retried))
        except PrivysealError as error:
            if error.reason != SESSION_MISSING or not self.door.login:
                raise
        await self._client.login(pb.LoginRequest(key=self.door.key))
        return await self._client.sign(self.door.sign_request(outgoing, retried=retried))

    async def report(
        self, signed: pb.SignResponse, status: int, body: bytes, date: str, within_s: float
    ) -> None:
        """Report an answer. What becomes of the report is not the caller's concern."""
        request = self.door.report_request(signed, status, body, date)
        try:
            await self._client.report_answer(request, timeout_s=within_s)
        except PrivysealError:
            return

    def __repr__(self) -> str:
        return f"{self.door.key!r}, {self._client!r}"
