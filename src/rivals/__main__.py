"""``python -m rivals``."""

from rivals.app.cli import main

if __name__ == "__main__":
    main()
