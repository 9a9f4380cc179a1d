"""Bundles as a table needs them: what is open stays open, and what needs a process of its own gets one."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from rivals.bundles import BundleManifest, read_manifest
from rivals.errors import BundleError, RivalsError
from rivals.plugins import make
from rivals.protocols import Combiner, Opener, Predictor
from rivals.serve.aside import Aside
from rivals.serve.question import Answerer
from rivals.serve.runtimes import open_bundle
from rivals.serve.runtimes.opening import intact
from rivals.serve.runtimes.together import FanOut
from rivals.serve.shelf import Shelf, Shelved

log = logging.getLogger("rivals.loading")


@dataclass(slots=True)
class Loading:
    """Opens by digest; ``found`` in this process, ``children`` in others. ``used`` is what was asked for."""

    folder: Opener
    memory_mb: int
    found: dict[str, Predictor]
    children: dict[str, Aside]
    used: set[str] = field(default_factory=set)

    def open(self, digest: str, python: str = "") -> Answerer:
        """Whatever answers for this bundle, ready to; where ``python`` is said, a process of it.

        Raises ``BundleError``.
        """
        folder = self.folder(digest)
        if python:
            return self._ready(digest, python)
        try:
            manifest = read_manifest(folder)
        except BundleError:
            return self._near(digest)  # whoever opens it says what is wrong
        match manifest.runtime:
            case "child":
                return self._ready(digest)
            case "fanout":
                return self._fan(folder, manifest)
        return self._near(digest)

    def _near(self, digest: str) -> Predictor:
        self.used.add(digest)
        if digest not in self.found:
            self.found[digest] = open_bundle(self.folder(digest), self.folder, self.found)
        return self.found[digest]

    def _ready(self, digest: str, python: str = "") -> Aside:
        known = digest in self.children
        child = self._child(digest, python)
        if not known:
            child.ready()
        return child

    def _child(self, digest: str, python: str = "") -> Aside:
        self.used.add(digest)
        if digest not in self.children:
            self.children[digest] = Aside(self.folder(digest).parent, digest, 0, self.memory_mb, python)
        return self.children[digest]

    def _fan(self, folder: Path, manifest: BundleManifest) -> FanOut:
        """An ensemble and its members. One that cannot answer just now is none that could not answer later."""
        intact(folder)
        assert manifest.combiner is not None
        new = {digest for digest in manifest.members.values() if digest not in self.children}
        members = {name: self._member(name, digest) for name, digest in manifest.members.items()}  # all load at once
        for name, digest in manifest.members.items():
            if digest in new and digest in self.children:
                try:
                    self.children[digest].ready()
                except RivalsError as error:
                    log.warning("member.closed member=%s reason=%s", name, error)
        return FanOut(
            manifest.signature, members, manifest.members, make(Combiner, manifest.combiner), manifest.beside,
            (manifest.deadline_ms or 0.0) / 1e3, manifest.quorum or 0,
        )  # fmt: skip

    def _member(self, name: str, digest: str) -> Answerer:
        folder = self.folder(digest)
        match (manifest := read_manifest(folder)).runtime:
            case "child":
                return self._child(digest)
            case "fanout":
                return self._fan(folder, manifest)
            case "remote":
                try:
                    return self._near(digest)
                except RivalsError as error:
                    log.warning("member.closed member=%s reason=%s", name, error)
                    return Shelved(folder, partial(open_bundle, folder, self.folder), Shelf(0))
        return self._near(digest)
