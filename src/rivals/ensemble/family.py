"""An ensemble as a variant: it has members instead of a model, and is never fitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from rivals.ensemble.together import together
from rivals.errors import DataError
from rivals.protocols import Combiner


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Members by name, and what makes one answer of theirs."""

    members: tuple[str, ...]
    combiner: Combiner

    def outputs(self, banked: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Its predictions from its members' banked ones (rows, k): honest, for no member saw the rows it predicted.

        Raises ``DataError`` where a member is missing or answered other rows.
        """
        if missing := [name for name in self.members if name not in banked]:
            raise DataError(f"The member {missing[0]!r} has no predictions; build it first.")
        shapes = {banked[name].shape for name in self.members}
        if len(shapes) > 1:
            raise DataError(
                f"The members {', '.join(self.members)} answered different rows; build them on the same data."
            )
        return together(self.combiner, {name: partial(banked.__getitem__, name) for name in self.members})
