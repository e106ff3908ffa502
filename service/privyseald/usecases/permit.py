"""Whether a caller may do something with a key that is not opened for it."""

from privyseald.caller import Caller
from privyseald.policy.action import Action
from privyseald.policy.policy import Policy
from privyseald.secretstore.store import SecretStore


async def permit(
    policy: Policy, store: SecretStore, caller: Caller, action: Action, key_id: str
) -> str:
    """Return the rule that allows it. Where rules look at more of a key than its id, its public
    facts are read first. Raises PolicyDenied, KeyUnknown, Unavailable….
    """
    if not policy.looks_at_keys(caller, action, key_id):
        return policy.check(caller, action, key_id)
    policy.admit(caller, action, key_id)
    return policy.check(caller, action, key_id, await store.get(key_id))
