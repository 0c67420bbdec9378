"""A model that is loaded when it is first called: a run whose rows are all in the store loads none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class FirstUse(Generic[Arguments, Result]):
    """Wraps ``load``, which returns a function; the first call loads it, and every call goes to it."""

    def __init__(self, load: Callable[[], Callable[Arguments, Result]]) -> None:
        self._load = load
        self._loaded: Callable[Arguments, Result] | None = None

    def __call__(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        """Call the loaded function.

        Raises:
            Exception: whatever ``load`` or the function raises.
        """
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded(*args, **kwargs)

    @property
    def counts(self) -> dict[str, Any]:
        """The loaded function's own counts (its attribute ``counts``); empty where it has none or was not called."""
        return dict(getattr(self._loaded, "counts", {}))
