"""Run one worker here and print which lines of ours run between reading a request and writing its answer.

A client in another thread sends the same kind of request a few times; what is traced is the last one alone.
"""

from __future__ import annotations

import ast
import asyncio
import http.client
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import rivals
from rivals.serve.server import WorkerConfig, work

OURS = str(Path(rivals.__file__).parent)
BODY = json.loads(sys.argv[3])


class Trace:
    """Lines of ours, and the functions they stand in, while it is on."""

    def __init__(self) -> None:
        self.on = False
        self.lines: set[tuple[str, int]] = set()
        self.functions: set[tuple[str, int]] = set()

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        if self.on:
            self.functions.add((frame.f_code.co_filename, frame.f_code.co_firstlineno))
            if event == "line":
                self.lines.add((frame.f_code.co_filename, frame.f_lineno))
        return self


def source_lines(functions: set[tuple[str, int]]) -> int:
    """All lines of the functions that ran, whether or not each of them did."""
    total = 0
    for file in {name for name, _ in functions}:
        for node in ast.walk(ast.parse(Path(file).read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
                if (file, first) in functions:
                    assert node.end_lineno is not None
                    total += node.end_lineno - first + 1
    return total


def client(port: int, trace: Trace) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.connect()
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    for last in (False, False, True):
        trace.on = last
        connection.request("POST", "/v2/models/toy/infer", json.dumps(BODY), {"Content-Type": "application/json"})
        reply = connection.getresponse()
        assert reply.status == 200, reply.read()
        reply.read()
    trace.on = False
    connection.close()
    files = sorted({Path(name).relative_to(OURS).as_posix() for name, _ in trace.lines})
    found = {"executed": len(trace.lines), "functions": source_lines(trace.functions), "files": files}
    print(json.dumps(found))
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    port = int(sys.argv[2])
    config = WorkerConfig(sys.argv[1], str(Path(sys.argv[1]).parents[1] / "bundles"), 0, "127.0.0.1", port)
    trace = Trace()
    threading.Thread(target=client, args=(port, trace), daemon=True).start()
    sys.settrace(trace)
    asyncio.run(work(config))


if __name__ == "__main__":
    main()
