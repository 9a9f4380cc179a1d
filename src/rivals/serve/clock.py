"""An endpoint's time."""

from __future__ import annotations

import time

from rivals.serve.inputs import Inputs
from rivals.values import Columns


class Clock:
    """The endpoint's time: the wall's, or what the newest row says, which never goes back."""

    def __init__(self, replay: bool) -> None:
        self.replay, self._newest = replay, 0.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._newest if self.replay else time.time()

    def at(self, inputs: Inputs, columns: Columns) -> float:
        """The time of a request with these rows. Raises ``RequestError`` where a replay's rows tell none."""
        if self.replay:
            self._newest = max(self._newest, inputs.time_of(columns))
        return self.now()
