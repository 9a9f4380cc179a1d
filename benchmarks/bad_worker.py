"""A worker whose variants in processes of their own misbehave after their probe: the environment's BAD is {digest: kind}.

With MOOD, a file's path, they do so only while there is such a file.
"""

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
        self._kept: list[bytes] = []

    def predict(self, columns: Any) -> Any:
        mood = os.environ.get("MOOD")
        match self._kind if not mood or Path(mood).exists() else "":
            case "sleeps":
                time.sleep(1.0)
            case "stalls":
                time.sleep(10.0)
            case "crashes":
                raise MemoryError("out of luck")
            case "leaks":
                self._kept.append(os.urandom(1 << 26) * 4)
            case "aborts":
                os.abort()
            case "dies" | "exits":
                os._exit(3)
            case "rubbish":
                return np.full((columns.rows, 3), np.nan)
            case "floods":
                return np.zeros((columns.rows, 12_500_000))  # 100 MB
            case "python":  # a millisecond a row in the interpreter
                end = time.thread_time() + 0.001 * columns.rows
                while time.thread_time() < end:
                    pass
        return self._inner.predict(columns)


def opened(folder: Path, *args: Any) -> Any:
    inner, bad = open_bundle(folder, *args), json.loads(os.environ["BAD"])
    return Bad(inner, bad[folder.name]) if folder.name in bad else inner


def alone(folder: Path, manifest: Any) -> Any:
    from rivals.build.child import PipelinePredictor

    return PipelinePredictor(folder, manifest)


if __name__ == "__main__":
    if sys.argv[1] == "aside":
        del sys.argv[1]
        aside.open_bundle = opened
        aside.main(alone)
    else:
        aside.COMMAND = aside.CHILD = (__file__, "aside")
        server.main()
