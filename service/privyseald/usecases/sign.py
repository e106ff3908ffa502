"""Sign: from what a caller wants to send, to the bytes to send."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from privyseald.audit.entry import Entry
from privyseald.caller import Caller
from privyseald.errors import (
    BodyInvalid,
    FieldInvalid,
    IntentUnsupported,
    LimitExceeded,
    PolicyDenied,
    PrivysealError,
)
from privyseald.holds.holds import Holds
from privyseald.idempotency.idempotency import Idempotency
from privyseald.key import Key
from privyseald.limits import Limits
from privyseald.nonces import NonceSource
from privyseald.policy.action import Action
from privyseald.policy.decision import Decision, denied
from privyseald.policy.policy import Policy
from privyseald.policy.question import Question, ask_of_request
from privyseald.sessions.sessions import Sessions
from privyseald.signing import eip191
from privyseald.signing.document_digest import DocumentDigest
from privyseald.strict_json import JsonValue, parse_object
from privyseald.usecases.answer_codec import SignedCodec
from privyseald.usecases.open_key import OpenedKey, OpenKey
from privyseald.usecases.signed import Signed, StructuredSignature
from privyseald.venues.documents import known_operations
from privyseald.venues.http_request import MAX_BODY, HttpRequest
from privyseald.venues.registry import Venues, opens_sessions
from privyseald.venues.signed import check_served
from privyseald.venues.venue import Moment, Session, SessionUse, SignedHttpRequest


@dataclass(frozen=True, slots=True)
class PersonalMessage:
    """A message for EIP-191."""

    message: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class TypedData:
    """An EIP-712 document as JSON."""

    json: bytes = field(repr=False)


Intent = HttpRequest | PersonalMessage | TypedData

# What will be signed: a request as the venue's `normalise` left it, a message, a document.
Wish = HttpRequest | bytes | dict[str, JsonValue]

ACTIONS: dict[type[Intent], tuple[Action, str]] = {
    HttpRequest: (Action.SIGN, "http_request"),
    PersonalMessage: (Action.SIGN_MESSAGE, "personal_message"),
    TypedData: (Action.SIGN_TYPED_DATA, "typed_data"),
}


@dataclass(frozen=True, slots=True)
class SignCommand:
    """What to sign with which key. `fingerprint` tells two commands of one id apart."""

    key_id: str
    intent: Intent
    request_id: str = ""
    fingerprint: bytes = b""
    validate_only: bool = False
    key_version: int = 0


class Sign:
    """Checks policy and holds, opens the key, spends the rule's limits, reserves the nonce, signs:
    in this order.

    Holds are looked at whenever time may have passed, at last before the answer is given.
    """

    def __init__(
        self,
        policy: Policy,
        venues: Venues,
        holds: Holds,
        open_key: OpenKey,
        nonces: NonceSource,
        sessions: Sessions,
        idempotency: Idempotency,
        limits: Limits,
    ) -> None:
        self._policy = policy
        self._venues = venues
        self._holds = holds
        self._open_key = open_key
        self._nonces = nonces
        self._sessions = sessions
        self._idempotency = idempotency
        self._limits = limits
        self._document_digest = DocumentDigest()
        # For those who watch: signatures made, by venue and algorithm.
        self.signatures: Counter[tuple[str, str]] = Counter()

    async def __call__(self, caller: Caller, command: SignCommand, entry: Entry) -> Signed:
        """Return the signed bytes. Raises any PrivysealError but the venue's own."""
        action, _ = ACTIONS[type(command.intent)]
        entry.rule = self._policy.admit(caller, action, command.key_id, in_shadow=True)
        self._holds.check(caller, command.key_id)
        opened = await self._open(caller, action, command)
        key = opened.credential.key
        entry.venue, entry.key_version = key.venue, key.version
        check_holds = partial(self.check_holds, caller, key)
        check_holds()
        wish = wish_of(command.intent, opened)
        question = question_of(caller, wish, opened, self._venues)
        rules = self._policy.rules
        decision = self._decide(question, entry)
        entry.rule = decision.rule
        spend = partial(self._limits.spend, question, decision)
        try:
            if command.validate_only:
                if not isinstance(wish, HttpRequest):
                    await self._digest(wish)
                await spend(look=True)
                return Signed(key, None)
            signed = await self._idempotency.once(
                f"sign/{caller.name}",
                command.request_id,
                command.fingerprint,
                lambda: self._sign(wish, opened, check_holds, spend),
                SignedCodec(),
            )
        except (LimitExceeded, PolicyDenied) as error:
            entry.limits = error.metadata.get("limit", "")
            raise
        check_holds()
        if self._policy.rules is not rules:
            # They were replaced meanwhile, and may have taken the right away.
            entry.rule = self._decide(question, entry).rule
        entry.nonce = "" if signed.nonce is None else str(signed.nonce)
        return signed

    async def _open(self, caller: Caller, action: Action, command: SignCommand) -> OpenedKey:
        try:
            return await self._open_key(command.key_id, command.key_version)
        except PrivysealError:
            # Why not is for callers alone whom a rule in force lets sign; not for shadow's.
            self._policy.admit(caller, action, command.key_id)
            raise

    def check_holds(self, caller: Caller, key: Key) -> None:
        """Return if what was signed may still be handed out. Raises Held, StateUnavailable."""
        self._holds.check(caller, key.key_id, key.venue)

    def _decide(self, question: Question, entry: Entry) -> Decision:
        """Return the rule that allows exactly what will be signed. Raises PolicyDenied."""
        decision = self._policy.decide(question)
        entry.shadow = " ".join(decision.shadow)
        if not decision.allowed:
            entry.rule = decision.rule
            raise denied(question, decision)
        return decision

    async def _sign(
        self,
        wish: Wish,
        opened: OpenedKey,
        check_holds: Callable[[], None],
        spend: Callable[[], Awaitable[None]],
    ) -> Signed:
        if isinstance(wish, HttpRequest):
            signed = await self._sign_request(wish, opened, check_holds, spend)
        else:
            signed = await self._sign_document(wish, opened, check_holds, spend)
        key = signed.key
        self.signatures[key.venue, key.algorithm] += 1
        return signed

    async def _sign_document(
        self,
        wish: "bytes | dict[str, JsonValue]",
        opened: OpenedKey,
        check_holds: Callable[[], None],
        spend: Callable[[], Awaitable[None]],
    ) -> Signed:
        digest = await self._digest(wish)
        await spend()
        moment = await self._nonces.reserve(opened.credential.key, None)
        signer = opened.credential.signer
        check_holds()
        return Signed(
            opened.credential.key,
            StructuredSignature(await signer.sign(digest), digest, signer.public_id),
            moment.our_time_ms,
        )

    async def _sign_request(
        self,
        request: HttpRequest,
        opened: OpenedKey,
        check_holds: Callable[[], None],
        spend: Callable[[], Awaitable[None]],
    ) -> Signed:
        credential, venue = opened.credential, opened.venue
        session: Session | None = None
        use = venue.session_use(credential) if opens_sessions(venue) else SessionUse.NEVER
        if use is not SessionUse.NEVER:
            session = await self._sessions.current(credential.key)
            if session is None and use is SessionUse.REQUIRED:
                # One that was opened at another server a moment ago shall count.
                session = await self._sessions.current(credential.key, fresh=True)
        policy = venue.nonce_policy(credential, session)

        def sign(moment: Moment) -> Awaitable[SignedHttpRequest]:
            check_holds()
            at_venue = session and session.shifted(moment.offset_ms)
            return venue.sign(request, credential, opened.environment, moment, at_venue)

        await spend()
        moment, signed = await self._nonces.spend(credential.key, policy, sign)
        return Signed(
            credential.key, signed.shifted(-moment.offset_ms), moment.our_time_ms, moment.nonce
        )

    async def _digest(self, wish: "bytes | dict[str, JsonValue]") -> bytes:
        return eip191.digest(wish) if isinstance(wish, bytes) else await self._document_digest(wish)


def wish_of(intent: Intent, opened: OpenedKey) -> Wish:
    """Return what will be signed: policy looks at it, and nothing else is signed.

    Raises IntentUnsupported, or RequestInvalid naming the field.
    """
    _, kind_of_intent = ACTIONS[type(intent)]
    if kind_of_intent not in opened.kind.intents:
        key = opened.credential.key
        raise IntentUnsupported(
            kind_of_intent,
            f"can't be signed with {key.name}, a key of {key.venue} with {key.algorithm}; "
            f"it signs {', '.join(sorted(opened.kind.intents)) or 'nothing by itself'}",
        )
    if isinstance(intent, HttpRequest):
        check_served(intent, opened.environment)
        return opened.venue.normalise(intent, opened.credential)
    if isinstance(intent, PersonalMessage):
        if not intent.message:
            raise FieldInvalid("personal_message.message", "is empty; give the message to sign")
        if len(intent.message) > MAX_BODY:
            raise BodyInvalid("personal_message.message", f"is longer than {MAX_BODY} bytes")
        return intent.message
    if len(intent.json) > MAX_BODY:
        raise BodyInvalid("typed_data.json", f"is longer than {MAX_BODY} bytes")
    return parse_object(intent.json, "typed_data.json")


def question_of(caller: Caller, wish: Wish, opened: OpenedKey, venues: Venues) -> Question:
    """Return what policy is asked about a wish. Raises IntentUnsupported where a message or a
    document would be a way past it.
    """
    key, venue = opened.credential.key, opened.venue
    if isinstance(wish, HttpRequest):
        table = venues.operation_table(venue)
        return ask_of_request(caller, key, wish, venue.coverage, table)
    operations = known_operations(venue, wish)
    if isinstance(wish, bytes):
        return Question(
            caller, Action.SIGN_MESSAGE, key.key_id, key, key.venue, operations=operations
        )
    return Question(
        caller,
        Action.SIGN_TYPED_DATA,
        key.key_id,
        key,
        key.venue,
        operations=operations,
        typed_data=wish,
    )
