"""What a caller can ask for, by the names that rules use."""

from enum import StrEnum


class Action(StrEnum):
    """One permission."""

    SIGN = "sign"
    SIGN_MESSAGE = "sign-message"
    SIGN_TYPED_DATA = "sign-typed-data"
    LOGIN = "login"
    CREATE_KEY = "create-key"
    USE_FOR_CREATE_KEY = "use-for-create-key"
    READ_KEY = "read-key"
    IMPORT_KEY = "import-key"
    ROTATE_KEY = "rotate-key"
    DISABLE_KEY = "disable-key"
    ENABLE_KEY = "enable-key"
    DELETE_KEY = "delete-key"
    RESYNC_NONCE = "resync-nonce"
    CREATE_HOLD = "create-hold"
    READ_HOLD = "read-hold"
    DELETE_HOLD = "delete-hold"
