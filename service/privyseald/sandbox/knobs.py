"""What of a venue's behaviour can be turned, mostly where its sources disagree."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class NebulaexKnobs:
    """`single_use` is the older Barong (2.4.0 to 2.4.4) and the wording of NebulaEX's guide.

    `blocked` are path patterns on the gateway's block list. A `restriction` is the category
    of a geography or IP rule that hits every caller.
    """

    nonce_lifetime_ms: int = 5_000
    single_use: bool = False
    error_content_type: str = "text/plain"
    blocked: tuple[str, ...] = ()
    restriction: str = ""
    restriction_status: int = 403


@dataclass(slots=True)
class KiiexKnobs:
    """`camel_case` is the casing of the guide's schema; PascalCase was seen on real servers.

    A user is locked by `lock_after` failed logins, each within `rapid_ms` of the one before.
    """

    camel_case: bool = False
    by_headers: bool = True
    by_body: bool = True
    lock_after: int = 5
    rapid_ms: int = 60_000
    session_idle_ms: int = 3_600_000
    bind_ip: bool = False


@dataclass(slots=True)
class WhitebitKnobs:
    """`nonce_window_ms` is how far a nonce may be from the clock under nonceWindow."""

    nonce_window_ms: int = 5_000


@dataclass(slots=True)
class AsterKnobs:
    """`chain_id` is 1666 on mainnet, 714 on testnet. `ahead_ms` of 0 means no such rule.

    `decoded_message` accepts V3 signatures over the parameters before percent-encoding too,
    as the official demo signs; the documents' samples and ccxt sign what is sent.
    `login_nonce`, when set, is what get-nonce gives. `refuse_new_keys` is the stop of
    2026-03-25, since when only old V1 keys work.
    """

    chain_id: int = 1666
    nonce_window_ms: int = 60_000
    nonces_kept: int = 100
    ahead_ms: int = 0
    user_required: bool = False
    decoded_message: bool = False
    login_nonce: str = ""
    login_nonce_life_ms: int = 60_000
    refuse_new_keys: bool = False


@dataclass(slots=True)
class Knobs:
    """The knobs of all venues."""

    nebulaex: NebulaexKnobs = field(default_factory=NebulaexKnobs)
    kiiex: KiiexKnobs = field(default_factory=KiiexKnobs)
    whitebit: WhitebitKnobs = field(default_factory=WhitebitKnobs)
    aster: AsterKnobs = field(default_factory=AsterKnobs)
