"""Families that take rows as they are: their steps are inside them and are fitted with them, fold by fold."""

from __future__ import annotations

from rivals.plugins import factory
from rivals.protocols import Family


def is_whole(family: str) -> bool:
    """Whether that family brings its own steps."""
    return bool(getattr(factory(Family, family), "whole", False))
