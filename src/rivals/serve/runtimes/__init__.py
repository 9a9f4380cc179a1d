"""A bundle, ready to answer: ``open_bundle(folder, opener)``."""

from rivals.serve.runtimes.opening import VERSION, open_bundle, open_placed, predictor

__all__ = ["VERSION", "open_bundle", "open_placed", "predictor"]
