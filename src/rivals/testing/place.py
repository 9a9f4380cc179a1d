"""The claims of the door ``Target``."""

from __future__ import annotations

import tempfile
from pathlib import Path, PurePosixPath

import yaml

from rivals.placement import Climb, Deployment, Piece, Scale
from rivals.protocols import Target

TWO = Deployment(
    "flights",
    "blend",
    (
        Piece("blend", 0.75, 0.0, "a" * 64, "localhost/flights-blend:1", "s3://models/a", scale=Scale(2, 4)),
        Piece("Big_Net", 0.25, 0.0, "b" * 64, "localhost/flights-net:1", "s3://models/b"),
    ),
    Piece("flights", image="localhost/flights-router:1"),
    Climb((0.01, 0.25), 600.0),
)


class Targets:
    """A platform that a deployment is described for."""

    deployment = TWO  # one that the platform has words for

    def make(self) -> Target:
        raise NotImplementedError

    def test_files_stay_inside_their_folder(self) -> None:
        files = self.make().render(self.deployment)
        assert files
        assert not [name for name in files if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts]

    def test_the_same_deployment_gives_the_same_files(self) -> None:
        assert self.make().render(self.deployment) == self.make().render(self.deployment)

    def test_what_it_writes_it_reads_and_would_write_again(self) -> None:
        target = self.make()
        files = target.render(self.deployment)
        described = [text for name, text in files.items() if name.endswith((".yaml", ".yml", ".json"))]
        documents = [one for text in described for one in yaml.safe_load_all(text) if one]
        back = target.read(documents)
        assert [piece.variant for piece in back.pieces] == [piece.variant for piece in self.deployment.pieces]
        assert back.champion == self.deployment.champion
        assert target.render(back) == files

    def test_its_commands_are_about_the_folder(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for words in self.make().apply(Path(folder)):
                assert [word for word in words if folder in word], f"{words} names nothing in {folder}"
