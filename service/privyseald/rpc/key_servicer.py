"""KeyService over the use cases."""

from privyseal.v1 import key_service_pb2 as pb
from privyseald.key import key_id_of
from privyseald.rpc.call import Call
from privyseald.rpc.convert import fingerprint, key_message, time_ms_of
from privyseald.rpc.page import page_after, page_size, page_token
from privyseald.signing.sealed_box import SUITE
from privyseald.signing.secret import SecretBytes
from privyseald.usecases.delivery import Delivery, Plaintext, Receive, Sealed, WrappingToken
from privyseald.usecases.import_key import ImportKey, ImportKeyCommand
from privyseald.usecases.keys import Keys
from privyseald.usecases.resync_nonce import ResyncNonce
from privyseald.usecases.rotate_key import Generate, RotateKey, RotateKeyCommand


class KeyServicer:
    """Translates; decides nothing."""

    def __init__(
        self,
        keys: Keys,
        import_key: ImportKey,
        rotate_key: RotateKey,
        receive: Receive,
        resync_nonce: ResyncNonce,
    ) -> None:
        self._keys = keys
        self._import_key = import_key
        self._rotate_key = rotate_key
        self._receive = receive
        self._resync_nonce = resync_nonce

    async def get_key(self, request: pb.GetKeyRequest, call: Call) -> pb.GetKeyResponse:
        """Return a key's public facts."""
        call.entry.key = request.name[:80]
        key = await self._keys.get(call.caller, key_id_of(request.name, "name"), call.entry)
        return pb.GetKeyResponse(key=key_message(key))

    async def list_keys(self, request: pb.ListKeysRequest, call: Call) -> pb.ListKeysResponse:
        """Return a page of keys that the caller may read."""
        page = await self._keys.list(
            call.caller, page_after(request.page_token), page_size(request.page_size)
        )
        return pb.ListKeysResponse(
            keys=[key_message(key) for key in page.keys],
            next_page_token=page_token(page.next_after),
        )

    async def import_key(self, request: pb.ImportKeyRequest, call: Call) -> pb.ImportKeyResponse:
        """Write a credential that exists already."""
        call.entry.key, call.entry.request_id = (
            f"keys/{request.key_id[:63]}",
            request.request_id[:40],
        )
        command = ImportKeyCommand(
            key_id=request.key_id,
            venue=request.venue,
            environment=request.environment,
            algorithm=request.algorithm,
            fields=dict(request.fields),
            delivery=_delivery(request),
            labels=dict(request.labels),
            request_id=request.request_id,
            fingerprint=fingerprint(request),
        )
        key = await self._import_key(call.caller, command, call.entry)
        return pb.ImportKeyResponse(key=key_message(key))

    async def get_sealing_key(
        self, _request: pb.GetSealingKeyRequest, _call: Call
    ) -> pb.GetSealingKeyResponse:
        """Return the public key to which secrets are sealed."""
        key = await self._receive.sealing_key()
        return pb.GetSealingKeyResponse(key_id=key.fingerprint, public_key=key.raw, suite=SUITE)

    async def rotate_key(self, request: pb.RotateKeyRequest, call: Call) -> pb.RotateKeyResponse:
        """Put a new credential in place of the old one."""
        call.entry.key, call.entry.request_id = request.name[:80], request.request_id[:40]
        command = RotateKeyCommand(
            key_id=key_id_of(request.name, "name"),
            delivery=Generate() if request.generate else _delivery(request),
            fields=dict(request.fields),
            accept_previous_until_ms=(
                time_ms_of(request.accept_previous_until_time, "accept_previous_until_time")
                if request.HasField("accept_previous_until_time")
                else None
            ),
            request_id=request.request_id,
            fingerprint=fingerprint(request),
        )
        key = await self._rotate_key(call.caller, command, call.entry)
        return pb.RotateKeyResponse(key=key_message(key))

    async def disable_key(self, request: pb.DisableKeyRequest, call: Call) -> pb.DisableKeyResponse:
        """Stop a key from being used."""
        call.entry.key = request.name[:80]
        key = await self._keys.disable(call.caller, key_id_of(request.name, "name"), call.entry)
        return pb.DisableKeyResponse(key=key_message(key))

    async def enable_key(self, request: pb.EnableKeyRequest, call: Call) -> pb.EnableKeyResponse:
        """Let a disabled key be used again."""
        call.entry.key = request.name[:80]
        key = await self._keys.enable(call.caller, key_id_of(request.name, "name"), call.entry)
        return pb.EnableKeyResponse(key=key_message(key))

    async def resync_nonce(
        self, request: pb.ResyncNonceRequest, call: Call
    ) -> pb.ResyncNonceResponse:
        """Put a key's nonces right."""
        call.entry.key = request.key[:80]
        before, after = await self._resync_nonce(
            call.caller, key_id_of(request.key), request.above, call.entry
        )
        return pb.ResyncNonceResponse(before=str(before), after=str(after))

    async def delete_key(self, request: pb.DeleteKeyRequest, call: Call) -> pb.DeleteKeyResponse:
        """Remove a key for good."""
        call.entry.key = request.name[:80]
        await self._keys.delete(call.caller, key_id_of(request.name, "name"), call.entry)
        return pb.DeleteKeyResponse()


def _delivery(request: pb.ImportKeyRequest | pb.RotateKeyRequest) -> Delivery:
    kind = request.WhichOneof("material")
    if kind == "sealed":
        return Sealed(request.sealed)
    if kind == "wrapping_token":
        return WrappingToken(SecretBytes(request.wrapping_token))
    return Plaintext(SecretBytes(request.plaintext))
