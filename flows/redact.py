"""What is blanked in prompts, and in words drawn from them, that are shown."""

import re
from collections.abc import Iterable

from flows.settings import ShowSettings

KEY = 20  # characters, from which what has a digit is a key
# Identifiers of people and systems, broadly: what is shown explains a campaign, it need not be complete.
# Whole texts are read, so none begins within a word that it could be in: that would take quadratic time.
# First a mark that each has, if any: most texts have none, and a pattern is slow to find that out.
_IDENTIFIERS = (
    ("@", re.compile(r"(?<![\w.+-])[\w.+-]+(?:@[\w+-]+(?:\.[\w+-]+)+)+"), "[e-mail]"),
    (".", re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b"), "[address]"),
    (
        ":",
        re.compile(r"(?<![\w:])[0-9A-Fa-f]{3,4}:(?:[0-9A-Fa-f]{0,4}:){1,6}[0-9A-Fa-f]{1,4}\b"),
        "[address]",
    ),
    # Before numbers, which would take its last digits and leave the rest.
    ("", re.compile(rf"(?<![A-Za-z0-9_-])(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{{{KEY},}}\b"), "[key]"),
    ("", re.compile(r"(?<!\w)\+?\d(?:[ ().-]{0,2}\d){6,}(?!\w)"), "[number]"),
)


def _spaced_key(found: re.Match[str]) -> str:
    key = found[0].replace(" ", "")
    return "[key]" if len(key) >= KEY and re.search(r"\d", key) else found[0]


_SPACED = (  # the same as views write them, with a blank between tokens
    (" - ", re.compile(r"(?<![\w-])(?<!\w - )\w+(?: - \w+){1,12}\b"), _spaced_key),
    ("@", re.compile(r"(?<!\w)\w+(?: [.+-] \w+){0,8} @ \w+(?: [.-] \w+)+"), "[e-mail]"),
    (" . ", re.compile(r"\b\d{1,3}(?: \. \d{1,3}){3}\b"), "[address]"),
    (" : ", re.compile(r"\b[0-9A-Fa-f]{3,4}(?:(?: :)+ [0-9A-Fa-f]{1,4}){2,7}\b"), "[address]"),
    (" ", re.compile(r"(?<!\w)(?:\+ )?(?:\( )?\d+(?:(?: [().-])+ \d{2,}){2,5}\b"), "[number]"),
)
_HINT = re.compile(r"[\d@:]")  # every identifier has one of these
# Controls of terminals and of the direction of writing: they could rewrite what stands beside them.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def redact(prompt: str, settings: ShowSettings) -> str:
    """Return a prompt as it may be shown: blanked as the settings say, and then cut to length."""
    shown = blank(prompt, settings)
    return shown[: settings.characters] + ("…" if len(shown) > settings.characters else "")


def blank(text: str, settings: ShowSettings) -> str:
    """Return a text, or what texts have in common in a view, blanked as the settings say."""
    if settings.redact == "everything":
        return f"[{len(text)} characters]"
    if settings.redact == "identifiers" and _HINT.search(text):
        for mark, pattern, instead in _IDENTIFIERS + _SPACED:
            if mark in text:
                text = pattern.sub(instead, text)
    return text


def blank_words(words: Iterable[str], settings: ShowSettings) -> list[str]:
    """Return keywords as they may be shown: none where all of the text is blanked."""
    if settings.redact == "everything":
        return []
    shown = blank("\n".join(words), settings)  # at once: they are many, and hold no line's end
    return shown.split("\n") if shown else []


def visible(text: str) -> str:
    """Return a text of the log as a page or a terminal may be given it: control characters by number."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
