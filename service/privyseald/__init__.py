"""The Privyseal daemon: it signs, logs in and creates keys; it never shows a secret."""

__version__ = "0.1.0"
