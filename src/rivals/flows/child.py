"""The process of a variant that only its own pipeline answers: ``python -m rivals.flows.child SOCKET BUNDLE ...``."""

from __future__ import annotations

from rivals.build.child import PipelinePredictor
from rivals.serve import aside

if __name__ == "__main__":
    aside.main(PipelinePredictor)
