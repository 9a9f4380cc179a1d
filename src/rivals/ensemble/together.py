"""Drive a combiner here and now, member after member: what building does and serving does in parallel."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from rivals.protocols import Combiner, Looking
from rivals.values import Columns

Ask = Callable[[], NDArray[np.float64]]


def together(combiner: Combiner, members: Mapping[str, Ask], rows: Columns | None = None) -> NDArray[np.float64]:
    """Ask ``members`` as the combiner wants, and combine; nobody is asked who is not needed."""
    answers: dict[str, NDArray[np.float64]] = {}
    combiner = combiner.look(rows) if rows is not None and isinstance(combiner, Looking) else combiner
    while asked := combiner.ask(list(members), answers):
        for name in asked:
            said = members[name]()
            kept = asked[name] if isinstance(asked, Mapping) else None
            answers[name] = said if kept is None else np.where(kept[:, None], said, answers.get(name, np.nan))
    return combiner.combine(answers)
