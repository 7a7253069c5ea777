"""The errors of this package, by what the caller should do."""


class EncoderUnavailable(Exception):  # noqa: N818 - named for what the caller sees
    """The encoder cannot be loaded: stop. The message is one line that says what to do."""
