"""A bundle, ready to answer: ``open_bundle(folder, opener)``."""

from rivals.serve.runtimes.opening import open_bundle, predictor

__all__ = ["open_bundle", "predictor"]
