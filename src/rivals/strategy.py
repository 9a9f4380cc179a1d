"""How a challenger may be rolled out; apart from ``values``, for ``--help`` lists these and loads nothing else."""

from typing import Literal

Strategy = Literal["canary", "bluegreen", "shadow", "bounded", "ab"]
