"""Many model variants: built side by side, compared honestly, served and decided on evidence."""

__version__ = "0.1.0"
