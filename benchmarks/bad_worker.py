"""A worker whose shadows misbehave after they passed their probe: the environment's BAD is {digest: kind}."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from rivals.serve import aside, server

open_bundle = aside.open_bundle


class Bad:
    """A predictor that misbehaves in one way."""

    def __init__(self, inner: Any, kind: str) -> None:
        self.signature, self._inner, self._kind = inner.signature, inner, kind

    def predict(self, columns: Any) -> Any:
        match self._kind:
            case "sleeps":
                time.sleep(1.0)
            case "crashes":
                raise MemoryError("out of luck")
            case "dies":
                os._exit(3)
            case "rubbish":
                return np.full((columns.rows, 3), np.nan)
            case "floods":
                return np.zeros((columns.rows, 100_000))
            case "python":  # a millisecond a row in the interpreter
                end = time.thread_time() + 0.001 * columns.rows
                while time.thread_time() < end:
                    pass
        return self._inner.predict(columns)


def opened(folder: Path, *args: Any) -> Any:
    inner, bad = open_bundle(folder, *args), json.loads(os.environ["BAD"])
    return Bad(inner, bad[folder.name]) if folder.name in bad else inner


if __name__ == "__main__":
    if sys.argv[1] == "aside":
        del sys.argv[1]
        aside.open_bundle = opened
        aside.main()
    else:
        aside.COMMAND = (sys.executable, __file__, "aside")
        server.main()
