"""Drive a combiner here and now, member after member: what building does and serving does in parallel."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from rivals.protocols import Combiner

Ask = Callable[[], NDArray[np.float64]]


def together(combiner: Combiner, members: Mapping[str, Ask]) -> NDArray[np.float64]:
    """Ask ``members`` as the combiner wants, and combine; nobody is asked who is not needed."""
    answers: dict[str, NDArray[np.float64]] = {}
    while asked := combiner.ask(list(members), answers):
        for name in asked:
            said = members[name]()
            rows = asked[name] if isinstance(asked, Mapping) else None
            answers[name] = said if rows is None else np.where(rows[:, None], said, np.nan)
    return combiner.combine(answers)
