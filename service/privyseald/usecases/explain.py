"""Explain: what the rules say to a wish, rule by rule, without a server, a key or a secret."""

from dataclasses import dataclass, replace

from privyseald.caller import Caller
from privyseald.errors import PolicyDenied
from privyseald.key import Algorithm, Key
from privyseald.limits import cost_of
from privyseald.policy.action import Action
from privyseald.policy.decision import Decision, RuleReading
from privyseald.policy.policy import Policy
from privyseald.policy.question import Question
from privyseald.policy.rule import Limit
from privyseald.signing.signer import Credential
from privyseald.usecases.open_key import OpenedKey
from privyseald.usecases.sign import Intent, question_of, wish_of
from privyseald.venues.kinds import algorithm_of, key_kind
from privyseald.venues.operation_table import canonical_path
from privyseald.venues.registry import Venues
from privyseald.venues.venue import Operation


@dataclass(frozen=True, slots=True)
class Charged:
    """What the wish would take from a limit of a rule."""

    rule: str
    limit: Limit
    amount: int


@dataclass(frozen=True, slots=True)
class Use:
    """What the signature could be used for beside the named request, and what is said to that."""

    operation: Operation
    decision: Decision


@dataclass(frozen=True, slots=True)
class Explanation:
    """The decision with all that led to it. `unpriced` says why a budget can't count the wish,
    which a server then refuses.
    """

    question: Question
    decision: Decision
    readings: tuple[RuleReading, ...]
    uses: tuple[Use, ...] = ()
    charged: tuple[Charged, ...] = ()
    unpriced: str = ""

    @property
    def allowed(self) -> bool:
        """Whether a server would do it, where no limit is spent and nothing is held."""
        return self.decision.allowed and not self.unpriced


class Explain:
    """Asks the policy as `Sign` does, with a key of which only public facts are known."""

    def __init__(self, policy: Policy, venues: Venues) -> None:
        self._policy = policy
        self._venues = venues

    def action(self, caller: Caller, action: Action, key_id: str, key: Key | None) -> Explanation:
        """Explain an action. Not for `sign`: there, the request decides."""
        return self._explain(Question(caller, action, key_id, key, key.venue if key else ""))

    def intent(self, caller: Caller, intent: Intent, key: Key) -> Explanation:
        """Explain a signature. Raises RequestInvalid, IntentUnsupported, VenueUnknown…."""
        opened = self._opened(key)
        return self._explain(question_of(caller, wish_of(intent, opened), opened, self._venues))

    def _explain(self, question: Question) -> Explanation:
        decision = self._policy.decide(question)
        readings = tuple(self._policy.explain(question))
        uses = tuple(
            Use(operation, self._policy.decide(_as_named(question, operation)))
            for operation in question.operations[1:]
            if operation is not None
        )
        charged: list[Charged] = []
        unpriced = ""
        for rule, limit in decision.limits:
            try:
                charged.append(Charged(rule, limit, cost_of(question, rule, limit, self._venues)))
            except PolicyDenied as error:
                unpriced = unpriced or error.message
        return Explanation(question, decision, readings, uses, tuple(charged), unpriced)

    def _opened(self, key: Key) -> OpenedKey:
        venue = self._venues.get(key.venue)
        environment = self._venues.environment(venue, key.environment)
        kind = key_kind(venue, algorithm_of(venue, key.algorithm))
        known = replace(key, environment=environment.name, algorithm=kind.algorithm)
        fields = {kind.public_id: key.public_id} if kind.public_id else {}
        credential = Credential(known, fields, _NoSigner(kind.algorithm, key.public_id))
        return OpenedKey(credential, venue, environment, kind)


@dataclass(frozen=True, slots=True)
class _NoSigner:
    """The public half of a key that is not here."""

    algorithm: Algorithm
    public_id: str
    public_key_pem: str = ""

    async def sign(self, message: bytes) -> bytes:
        """Never called: an explanation signs nothing."""
        raise NotImplementedError


def _as_named(question: Question, operation: Operation) -> Question:
    """Return the question as if the request were for this operation."""
    request = question.request and replace(
        question.request, method=operation.method, path=operation.path
    )
    path = canonical_path(operation.path)
    return replace(question, request=request, path=path, operations=(operation,))
