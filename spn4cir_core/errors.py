"""Errors a user can act on. Each message says what is wrong, with which value, and what to do."""

from typing import ClassVar


class Spn4cirError(Exception):
    """Base of every error this package raises on purpose."""

    passing: ClassVar[bool] = False
    """Whether the same may work a little later with nothing changed, so that another try is worth its while."""


class RecipeError(Spn4cirError):
    """A recipe, or a value in it, cannot be used."""


class InputError(Spn4cirError):
    """A file or folder that the user supplied cannot be used."""


class InputChanged(InputError):
    """Files that the user supplied were changed while they were read."""

    passing = True


class StoreError(Spn4cirError):
    """The store cannot be read or written as asked."""


class StoreLocked(StoreError):
    """Another process is writing the artefact."""

    passing = True


class StoreUnreachable(StoreError):
    """The server that keeps the store does not answer."""

    passing = True


class ServerDown(InputError):
    """A model's server cannot be reached, or stays overloaded."""

    passing = True


class AlreadyWritten(StoreError):
    """Another process has written the artefact meanwhile; it can be used."""


class MissingExtra(Spn4cirError):
    """A strategy needs a package that is not installed; the message names the ``pip install``."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package!r} is not installed. Install it with: pip install 'spn4cir[{extra}]'")


class TrainingError(Spn4cirError):
    """Training cannot go on: a loss that is no number, or parts that do not belong together."""


class LaunchError(Spn4cirError):
    """The processes that share a stage cannot be started, or one of them came to an unexpected end."""


class ProcessLost(LaunchError):
    """One of the processes that work together was ended from outside, perhaps for want of memory."""

    passing = True
