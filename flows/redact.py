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


def redact(prompt: str, settings: ShowSettings) -> str:
    """Return a prompt as it may be shown: cut to length, and blanked as the settings say."""
    if settings.redact == "everything":
        return f"[{len(prompt)} characters]"
    shown = prompt[: settings.characters] + ("…" if len(prompt) > settings.characters else "")
    if settings.redact == "identifiers":
        for pattern, instead in _IDENTIFIERS:
            shown = pattern.sub(instead, shown)
    return shown
