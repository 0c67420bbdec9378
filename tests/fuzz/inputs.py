"""Inputs for fuzzing: what is valid, damaged in its bytes or bent in its structure."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

EXAMPLES = int(os.environ.get("SPN4CIR_FUZZ_EXAMPLES", "8"))
"""Inputs per reader and way of making them; tens of thousands when somebody has an hour."""
TOKENS = (
    b"\0",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b'"',
    b",",
    b"\r",
    b"\n",
    b"{",
    b"}",
    b"[",
    b"]",
    b"..",
    b"../../../etc/passwd",
    b"null",
    b"NaN",
    b"-1",
    b"1e999",
    b"9" * 40,
    b"\\ud800",
    b"[" * 3000,
    b'{"a":' * 3000,
    b"\xff" * 8,
    b"\x7f\xff\xff\xff",
)
fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)


@st.composite
def damaged(draw: st.DrawFn, samples: Sequence[bytes]) -> bytes:
    """One of the samples with up to six damages: bytes changed, cut out, doubled, or something odd put in."""
    data = bytearray(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(1, 6))):
        position, length = draw(st.integers(0, len(data))), draw(st.integers(1, 9))
        how = draw(st.sampled_from(("change", "cut", "double", "odd", "end", "number")))
        if how == "change":
            data[position : position + length] = draw(st.binary(min_size=length, max_size=length))
        elif how == "cut":
            del data[position : position + length]
        elif how == "double":
            data[position:position] = data[position : position + length * 4]
        elif how == "odd":
            data[position:position] = draw(st.sampled_from(TOKENS))
        elif how == "number":
            data[position : position + 4] = draw(st.integers(0, 2**32 - 1)).to_bytes(
                4, draw(st.sampled_from(("big", "little")))
            )
        elif draw(st.integers(0, 3)) == 0:
            del data[position:]
    return bytes(data)


plain_values = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from(
        ["", ".", "..", "/", "../x", "a\0b", "\ud800", "a" * 300, "{", "{target}", "<b>", "small", "1", "-0"]
    )
    | st.text(max_size=8)
)
any_value = st.recursive(
    plain_values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
TIMES_RIGHT = 6
"""How much more often a part is as it should be than anything else, so that the inner ones are reached."""


def bent(value: Any) -> st.SearchStrategy[Any]:
    """Values of the same structure, here and there something else in place of a part."""
    if isinstance(value, dict):
        right: st.SearchStrategy[Any] = st.fixed_dictionaries(
            {}, optional={key: bent(item) for key, item in value.items()}
        ) | st.fixed_dictionaries({key: bent(item) for key, item in value.items()})
    elif isinstance(value, list | tuple):
        right = st.lists(st.one_of(*map(bent, value)) if value else any_value, max_size=3)
    else:
        right = st.just(value)
    return st.one_of(*[right] * TIMES_RIGHT, any_value)


def json_bytes(value: Any) -> bytes:
    """As JSON; lone surrogates as escapes, NaN and infinities as Python writes them."""
    return json.dumps(value).encode()
