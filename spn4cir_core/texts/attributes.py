"""Words that say how a thing is, not what it is. A short list on purpose: a word not in it may name a kind of thing."""

from __future__ import annotations

import re

COLOURS = re.findall(
    r"\w+",
    """amber aqua beige black blue bronze brown burgundy charcoal copper coral cream crimson cyan
        fuchsia gold golden gray green grey indigo ivory khaki lavender lilac lime magenta maroon mauve
        mint mustard navy olive orange peach pink plum purple red rose rust salmon silver tan taupe teal
        turquoise violet white yellow""",
)
SHADES = re.findall(
    r"\w+",
    """bright dark deep light neon pale pastel soft vivid""",
)
LOOKS = re.findall(
    r"\w+",
    """big broad bright bold checked checkered clean colorful colourful cropped curved dark dirty
        dotted empty faded fitted flat floral fluffy full furry glossy huge large light little long
        loose matte metallic multicolored multicoloured narrow new old oversized pale patterned plaid
        plain pleated quilted ribbed round ruffled shiny short sleeveless slim small smooth soft spotted
        square striped tall thick thin tight tiny transparent vintage vivid wide wooden worn woven""",
)
KEYS = frozenset(
    re.findall(
        r"\w+",
        """age capacity depth diameter fit gender height length model pack season size style volume weight width
        größe grösse taille talla""",
    )
)
"""Words that begin a phrase of which the rest is a value: "size M". The value says nothing without its key."""
ATTRIBUTES = frozenset([*COLOURS, *LOOKS, *(f"{shade} {colour}" for shade in SHADES for colour in COLOURS)])
