"""The prompt that a captioner gets, and its placeholders."""

from __future__ import annotations

PUBLISHED = "Please briefly describe the {category} in {words} words."
"""SPN4CIR's request; {category} is the corpus's category (dress, shirt …), or "image" where it has none."""
PLACEHOLDERS = {"category", "words"}


def request(template: str, category: str, words: int) -> str:
    """Fill the request for one picture."""
    return template.format(category=category or "image", words=words)


def check_request(template: str) -> str:
    """Return the template if its placeholders can be filled.

    Raises:
        ValueError: it is empty, has an unknown placeholder or a stray brace.
    """
    if not template.strip():
        raise ValueError("the request is empty; leave it out for the published one")
    try:
        request(template, "image", 10)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        known = ", ".join(f"{{{name}}}" for name in sorted(PLACEHOLDERS))
        raise ValueError(f"bad placeholder or brace ({error}); the placeholders are {known}") from error
    return template
