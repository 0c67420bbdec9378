"""A search service that follows its recipe: when a run has made another index, that one answers."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from spn4cir_core.errors import Spn4cirError
from spn4cir_core.search.service import SearchService

log = logging.getLogger(__name__)
LOOK_EVERY_S = 5.0


class LatestService:
    """Opens another index in the background; until it is open, and where it cannot be, the one before answers.

    Args:
        open_service: opens the recipe's current index.
        newest: the fingerprint of the current index, empty where there is none. It should be cheap: it is called every
            few seconds while there are requests.
        on_reload: called with whether a new index could be opened.
    """

    def __init__(
        self,
        open_service: Callable[[], SearchService],
        newest: Callable[[], str],
        on_reload: Callable[[bool], None] = lambda is_opened: None,
    ) -> None:
        self._open_service, self._newest, self._on_reload = open_service, newest, on_reload
        self._fingerprint = newest()
        self._service = open_service()
        threading.Thread(target=self._service.warm_up, name="warm-up", daemon=True).start()
        self._looked_s = time.monotonic()
        self._refreshing = threading.Lock()

    def current(self) -> SearchService:
        """The service to ask. Looks for another index at most every few seconds, and waits for none."""
        if time.monotonic() - self._looked_s >= LOOK_EVERY_S:
            self._looked_s = time.monotonic()
            threading.Thread(target=self.refresh, name="refresh-index", daemon=True).start()
        return self._service

    def refresh(self) -> None:
        """Open the newest index, if it is another one, and let it answer once its models are loaded.

        What fails is logged, and tried once for each index.
        """
        if not self._refreshing.acquire(blocking=False):
            return
        try:
            newest = self._newest()
            if newest not in ("", self._fingerprint):
                self._fingerprint = newest
                service = self._open_service()
                service.warm_up()
                self._service = service
                self._on_reload(True)
                log.info("search: answers come from the new index %s", newest)
        except Spn4cirError as error:
            self._on_reload(False)
            log.warning("search: the new index cannot be opened, the one before answers: %s", error)
        finally:
            self._refreshing.release()
