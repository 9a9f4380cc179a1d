"""What runs between reading a request and writing its answer is short enough to read in one sitting."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from rivals.flows.control import publish
from rivals.flows.serve import endpoint_config, first_table
from rivals.flows.workspace import open_workspace
from rivals.serve.reconcile import publish_endpoint, publish_lease

from .conftest import a_row, free_port, infer


def test_the_request_path_is_under_900_lines_of_ours(project: Path) -> None:
    workspace = open_workspace(project)
    first_table(workspace)
    publish_endpoint(workspace.run_dir, endpoint_config(workspace, "wall"))
    publish(workspace)
    publish_lease(workspace.run_dir, 30.0)
    script = Path(__file__).with_name("request_trace.py")
    words = [sys.executable, str(script), str(workspace.run_dir), str(free_port()), json.dumps(infer(a_row()))]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(f"{found['executed']} lines run, in functions of {found['functions']} lines: {', '.join(found['files'])}")
    assert found["executed"] < 900
    assert found["functions"] < 900  # those lines of the same functions that did not run count too
    assert "serve/endpoint.py" in found["files"]
    assert "serve/journal.py" in found["files"]  # it is part of the path, and was traced
