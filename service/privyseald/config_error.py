"""The failure of a start: what the operator configured can't be right."""


class ConfigInvalid(ValueError):
    """A setting can't be right; the message names the setting and says what to do."""
