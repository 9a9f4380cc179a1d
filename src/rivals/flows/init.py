"""A new project that runs as it is."""

from __future__ import annotations

import shutil
from pathlib import Path

from rivals.errors import SpecError
from rivals.plugins import nearest

TEMPLATES = Path(__file__).with_name("templates")
IGNORED = ".rivals/\n__pycache__/\n"


def init_project(folder: Path, template: str = "binary") -> list[str]:
    """Copy a template into ``folder``; the files it made. Raises ``SpecError`` and touches nothing that is there."""
    known = sorted(path.name for path in TEMPLATES.iterdir() if (path / "rivals.yaml").exists())
    if template not in known:
        raise SpecError(f"No template is called {template!r}.{nearest(template, known)} There are: {', '.join(known)}.")
    if folder.exists() and not folder.is_dir():
        raise SpecError(f"{folder} is a file; name a folder for the project.")
    files = sorted(path for path in (TEMPLATES / template).iterdir() if path.is_file())
    for file in files:
        if (folder / file.name).exists():
            raise SpecError(f"{folder / file.name} is there already; name another folder, or remove it first.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copyfile(file, folder / file.name)
        if not (folder / ".gitignore").exists():
            (folder / ".gitignore").write_text(IGNORED)
    except OSError as error:
        raise SpecError(f"{folder} cannot be written: {error.strerror}.") from error
    return [file.name for file in files]
