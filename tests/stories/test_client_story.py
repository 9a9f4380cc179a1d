"""The documented ways to ask, against an endpoint that is really served."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import rivals
from rivals.errors import RequestError

from .conftest import Server, a_row, wait_until

PAGE = Path(__file__).parents[2] / "docs" / "client.md"


def test_the_clients_and_every_line_of_the_curl_page_are_answered(project: Path, serve: Callable[..., Server]) -> None:
    server = serve(project, workers=1)
    url = f"http://127.0.0.1:{server.port}"
    frame = pd.DataFrame([a_row(number) for number in range(9)])
    with rivals.Client(url, "toy") as client:
        assert client.ready()
        assert client.metadata()["name"] == "toy"
        answer = client.predict(frame, unit="u")
        assert (answer.variant, len(answer.outputs), len(answer.outputs[0])) == ("weak", 9, 2)
        client.feedback(answer, label=1, row=8)
        assert client.feedback_many([{"id": f"{answer.id}/0", "label": 0}]) == 1
        with pytest.raises(RequestError, match="'colour'") as got:
            client.predict({**a_row(), "colour": ["red"]} | {name: [value] for name, value in a_row().items()})
        assert got.value.status == 400

    async def again() -> list[list[float]]:
        async with rivals.AsyncClient(url, "toy") as there:
            return (await there.predict(frame.to_dict("records"), unit="u")).outputs

    assert asyncio.run(again()) == answer.outputs
    wait_until(lambda: server.api("/api/status")["scores"].get("weak", {}).get("labelled") == 2, 20, server.log)

    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(blocks) == 5
    for block in blocks:
        text = block.replace("http://127.0.0.1:8080", url)
        done = subprocess.run(["bash", "-ec", text], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, (block, done.stderr)
        assert done.stdout
