"""Thirty edits that mean something, twenty that do not: exactly the right dependants are touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from rivals.build.reach import reached

FILES = {
    "app.py": '''
"""Four features."""
import math
import numpy as np
import helpers as h
from deep import layers
from deep.layers import Scaler, scale as rescale
from . import nothing if False else None
'''.replace("from . import nothing if False else None\n", "")
    + '''
LIMIT = 10
UNUSED = 3

def one(x):
    """Uses a helper of a helper."""
    return h.outer(x) + LIMIT

def two(x):
    # a class, and a constant of another module
    return Scaler(h.FACTOR).apply(x)

def three(x):
    from late import loaded
    return loaded(x) + rescale(x) + layers.deepest.bottom(x)

def four(x, LIMIT=2):
    total = 0
    for y in x:
        total += y * LIMIT
    return math.sqrt(total) + np.mean(x)

def five(x):
    return decorated(x)

def wrap(f):
    return lambda x: f(x) + 1

@wrap
def decorated(x):
    return table["a"](x)

table = {}
table["a"] = lambda x: registered(x)

def registered(x):
    return x
''',
    "helpers.py": """
from constants import *
import constants as c

FACTOR = 2

def outer(x):
    return inner(x) * WEIGHT

def inner(x):
    return clip(x, c.LOW)

def clip(x, low, high=100):
    return max(low, min(high, x))

def unused(x):
    return outer(x)
""",
    "constants.py": "WEIGHT = 1.5\nLOW = -1\nHIGH = 5\n",
    "late.py": "def loaded(x):\n    return _private(x)\n\n\ndef _private(x):\n    return [y for y in x]\n",
    "deep/__init__.py": "from .layers import Scaler\nVERSION = 1\n",
    "deep/layers.py": """
from . import deepest
from .deepest import bottom as b

class Base:
    offset = 1

    def shift(self, x):
        return x + self.offset

class Scaler(Base):
    def __init__(self, by):
        self.by = by

    def apply(self, x):
        return self.shift(x) * self.by * EPSILON

EPSILON = 1e-3

def scale(x):
    return b(x) / 2
""",
    "deep/deepest.py": """
def bottom(x):
    return rock(x)

def rock(x):
    def pebble(y):
        return y - GRAIN
    return pebble(x)

GRAIN = 7
""",
}
NAMES = ("one", "two", "three", "four", "five")

# file, what stood there, what stands there now, who is touched
EDITS = [
    ("app.py", "LIMIT = 10", "LIMIT = 11", {"one"}),
    ("app.py", "UNUSED = 3", "UNUSED = 4", set()),
    ("app.py", "h.outer(x) + LIMIT", "h.outer(x) - LIMIT", {"one"}),
    ("app.py", "Scaler(h.FACTOR)", "Scaler(h.FACTOR + 1)", {"two"}),
    ("app.py", "loaded(x) + rescale", "loaded(x) - rescale", {"three"}),
    ("app.py", "LIMIT=2", "LIMIT=3", {"four"}),
    ("app.py", "total = 0\n", "total = 1\n", {"four"}),
    ("app.py", "f(x) + 1", "f(x) + 2", {"five"}),
    ("app.py", "@wrap\n", "", {"five"}),
    ("app.py", "lambda x: registered(x)", "lambda x: -registered(x)", {"five"}),
    ("app.py", "def registered(x):\n    return x", "def registered(x):\n    return -x", {"five"}),
    ("helpers.py", "FACTOR = 2", "FACTOR = 3", {"two"}),
    ("helpers.py", "inner(x) * WEIGHT", "inner(x) / WEIGHT", {"one"}),
    ("helpers.py", "clip(x, c.LOW)", "clip(x, -c.LOW)", {"one"}),
    ("helpers.py", "high=100", "high=50", {"one"}),
    ("helpers.py", "max(low, min(high, x))", "min(low, min(high, x))", {"one"}),
    ("helpers.py", "return outer(x)", "return -outer(x)", set()),
    ("constants.py", "WEIGHT = 1.5", "WEIGHT = 1.25", {"one"}),
    ("constants.py", "LOW = -1", "LOW = -2", {"one"}),
    ("constants.py", "HIGH = 5", "HIGH = 6", set()),
    ("late.py", "_private(x)\n\n", "_private(x) + [1]\n\n", {"three"}),
    ("late.py", "[y for y in x]", "[-y for y in x]", {"three"}),
    ("deep/__init__.py", "VERSION = 1", "VERSION = 2", set()),
    ("deep/layers.py", "offset = 1", "offset = 2", {"two"}),
    ("deep/layers.py", "x + self.offset", "x - self.offset", {"two"}),
    ("deep/layers.py", "self.by * EPSILON", "self.by", {"two"}),
    ("deep/layers.py", "EPSILON = 1e-3", "EPSILON = 1e-4", {"two"}),
    ("deep/layers.py", "b(x) / 2", "b(x) / 3", {"three"}),
    ("deep/deepest.py", "y - GRAIN", "y + GRAIN", {"three"}),
    ("deep/deepest.py", "GRAIN = 7", "GRAIN = 8", {"three"}),
]

HARMLESS = [
    ("app.py", "LIMIT = 10", "LIMIT = 10  # the most there may be"),
    ("app.py", "LIMIT = 10", "LIMIT = (10)"),
    ("app.py", '"""Uses a helper of a helper."""', '"""Says something else."""'),
    ("app.py", "# a class, and a constant of another module\n    ", ""),
    ("app.py", "def two", "\n\n\n\ndef two"),
    ("app.py", '"""Four features."""', '"""Five features."""'),
    ("app.py", 'table["a"]', "table['a']"),
    ("app.py", "LIMIT = 10\nUNUSED = 3\n", "UNUSED = 3\nLIMIT = 10\n"),
    ("app.py", "    return math.sqrt(total) + np.mean(x)", "    return (\n        math.sqrt(total)\n        + np.mean(x)\n    )"),
    ("app.py", "import math\nimport numpy as np\n", "import numpy as np\nimport math\n"),
    ("app.py", "import math\n", "import math\nimport json\n"),
    ("helpers.py", "FACTOR = 2\n", "FACTOR = 2\nANOTHER = 9\n"),
    ("helpers.py", "def unused(x):\n    return outer(x)\n", ""),
    ("helpers.py", "max(low, min(high, x))", "max(low, min(high, x),)"),
    ("constants.py", "WEIGHT = 1.5\nLOW = -1\nHIGH = 5\n", "HIGH = 5\nLOW = -1\nWEIGHT = 1.50\n"),
    ("late.py", "def loaded(x):", "def loaded(\n    x\n):"),
    ("deep/__init__.py", "VERSION = 1\n", "# nothing\nVERSION = 1\n"),
    ("deep/layers.py", "EPSILON = 1e-3", "EPSILON = 0.001"),
    ("deep/layers.py", "from .deepest import bottom as b", "from .deepest import bottom as b, rock"),
    ("deep/deepest.py", "GRAIN = 7", "\n\nGRAIN = 7\n\n"),
]  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def touched(project: Path, file: str, old: str, new: str) -> set[str]:
    before = {name: reached([f"app:{name}"]) for name in NAMES}
    text = (project / file).read_text()
    assert old in text
    (project / file).write_text(text.replace(old, new, 1))
    return {name for name in NAMES if reached([f"app:{name}"]) != before[name]}


@pytest.mark.parametrize(("file", "old", "new", "expected"), EDITS)
def test_an_edit_touches_exactly_who_reaches_it(
    project: Path, file: str, old: str, new: str, expected: set[str]
) -> None:
    assert touched(project, file, old, new) == expected


@pytest.mark.parametrize(("file", "old", "new"), HARMLESS)
def test_comments_formatting_and_order_touch_nobody(project: Path, file: str, old: str, new: str) -> None:
    assert touched(project, file, old, new) == set()


def test_packages_are_known_by_their_version_and_python_by_nothing(project: Path) -> None:
    import numpy as np

    found = reached(["app:four"])
    assert found["package numpy"] == np.__version__
    assert not any("math" in name for name in found)


def test_what_is_not_there_reaches_nothing(project: Path) -> None:
    assert reached(["nowhere:at_all", "app:nobody"]).keys() <= {"app"}


def test_a_statement_that_may_change_anything_touches_its_whole_module(project: Path) -> None:
    file = project / "app.py"
    file.write_text(file.read_text() + "\nregistered(table)\n")
    assert touched(project, "app.py", "registered(table)", "registered(LIMIT)") == set(NAMES)
