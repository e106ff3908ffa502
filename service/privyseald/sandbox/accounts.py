"""The accounts and keys that the sandbox venues know, with a default set.

The default credentials are public: samples of the venues' documentation, and Anvil's first
development account. They open nothing anywhere else.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(slots=True)
class NebulaexKey:
    """An API key at NebulaEX and the state of its owner.

    `permitted` are patterns of "METHOD /path", with * for anything.
    """

    api_key: str
    api_secret: str = field(repr=False)
    active: bool = True
    owner_active: bool = True
    owner_has_2fa: bool = True
    permitted: tuple[str, ...] = ("*",)


@dataclass(slots=True)
class KiiexUser:
    """A user of KIIEX and its one API key. `user_id` is text: leading zeros count.

    A non-empty `code_2fa` makes the venue ask for it after each login. `locked` is what too
    many failed logins set, and an administrator clears.
    """

    user_id: str
    api_key: str
    api_secret: str = field(repr=False)
    user_name: str = "sandbox"
    account_id: int = 1
    code_2fa: str = field(default="", repr=False)
    locked: bool = False

    def __post_init__(self) -> None:
        if not (self.user_id.isascii() and self.user_id.isdigit()):
            raise ValueError("user_id must be digits")


@dataclass(slots=True)
class WhitebitKey:
    """An API key at WhiteBIT. `endpoints` are patterns of paths that it may use."""

    api_key: str
    api_secret: str = field(repr=False)
    enabled: bool = True
    endpoints: tuple[str, ...] = ("*",)


@dataclass(slots=True)
class AsterAccount:
    """A wallet with an account at Aster, and the agents (API wallets) that it approved.

    `broker` accounts may create keys under a source code other than "ae".
    """

    address: str
    agents: tuple[str, ...] = ()
    broker: bool = False
    uid: int = 12345678


@dataclass(slots=True)
class AsterKey:
    """A V1 API key at Aster."""

    api_key: str
    api_secret: str = field(repr=False)
    address: str = ""
    description: str = ""


Account = NebulaexKey | KiiexUser | WhitebitKey | AsterAccount | AsterKey


class Accounts:
    """Everything the venues know of their customers. `add` replaces what has the same id.

    Addresses are compared without regard to case.
    """

    def __init__(self, accounts: Iterable[Account] = ()) -> None:
        self.nebulaex: dict[str, NebulaexKey] = {}
        self.kiiex: dict[str, KiiexUser] = {}
        self.whitebit: dict[str, WhitebitKey] = {}
        self.aster: dict[str, AsterAccount] = {}
        self.aster_keys: dict[str, AsterKey] = {}
        for account in accounts:
            self.add(account)

    def add(self, account: Account) -> None:
        """Make the account known, or replace it."""
        match account:
            case NebulaexKey():
                self.nebulaex[account.api_key] = account
            case KiiexUser():
                self.kiiex[account.user_id] = account
            case WhitebitKey():
                self.whitebit[account.api_key] = account
            case AsterAccount():
                self.aster[account.address.lower()] = account
            case AsterKey():
                self.aster_keys[account.api_key] = account

    def aster_account_of_agent(self, signer: str) -> AsterAccount | None:
        """Return the account that is this address or approved it as an agent."""
        signer = signer.lower()
        own = self.aster.get(signer)
        if own is not None:
            return own
        for account in self.aster.values():
            if signer in map(str.lower, account.agents):
                return account
        return None


ANVIL_0 = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
"""The first development account of Anvil and Hardhat; its private key is public."""

ASTER_DOC_USER = "0x63DD5aCC6b1aa0f563956C0e534DD30B6dcF7C4e"
ASTER_DOC_AGENT = "0x21cF8Ae13Bb72632562c6Fff438652Ba1a151bb0"
"""User and agent of the samples in asterdex/api-docs; the agent's private key is printed there."""


def default_accounts() -> Accounts:
    """Return accounts for which every credential is printed in public documentation.

    NebulaEX: openware/barong docs/general/api-keys.md. KIIEX: the sample of its guide, for
    which no secret is printed (zeros here), and the credentials of ccxt's tests. WhiteBIT:
    whitebit-exchange/whitebit-cli test/lib/auth.test.ts. Aster: the samples of
    asterdex/api-docs, and Anvil's first account.
    """
    return Accounts(
        (
            NebulaexKey("61d025b8573501c2", "2d0b4979c7fe6986daa8e21d1dc0644f"),
            KiiexUser("96", "28c68ac3fcfafc3d4e8d653fe57e5baf", "0" * 32),
            KiiexUser("149", "test-key", "test-secret", account_id=449),
            WhitebitKey("test-key", "test-secret"),
            AsterAccount(ANVIL_0),
            AsterAccount(ASTER_DOC_USER, agents=(ASTER_DOC_AGENT,), uid=12345679),
            AsterKey(
                "dbefbc809e3e83c283a984c3a1459732ea7db1360ca80c5c2c8867408d28cc83",
                "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9",
                ASTER_DOC_USER,
                "documentation",
            ),
            AsterKey(
                "4a2e11b243b1ad75981edf359ae02e873bf88b699196170d998d8266f5eb9f32",
                "72911505f67b24a8efe8f246d06c324b787d2f3f7cb8b5b80ef1698ee1486e25",
                ANVIL_0,
                "registration guide",
            ),
        )
    )
