"""What is blanked in prompts that are shown."""

import re

from flows.settings import ShowSettings

# Identifiers of people and systems, broadly: what is shown explains a campaign, it need not be complete.
_IDENTIFIERS = (
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), "[e-mail]"),
    (re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b"), "[address]"),
    (re.compile(r"(?<!\w)\+?\d(?:[ ().-]?\d){6,}(?!\w)"), "[number]"),
    (re.compile(r"\b(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{24,}\b"), "[key]"),
)
# Controls of terminals and of the direction of writing: they could rewrite what stands beside them.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def redact(prompt: str, settings: ShowSettings) -> str:
    """Return a prompt as it may be shown: cut to length, and blanked as the settings say."""
    if settings.redact == "everything":
        return f"[{len(prompt)} characters]"
    shown = prompt[: settings.characters] + ("…" if len(prompt) > settings.characters else "")
    if settings.redact == "identifiers":
        for pattern, instead in _IDENTIFIERS:
            shown = pattern.sub(instead, shown)
    return shown


def visible(text: str) -> str:
    """Return a text of the log as a page or a terminal may be given it: control characters by number."""
    return _CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
