"""A pipeline from joblib as an MLflow model: ``python save_mlflow.py FILE FOLDER``."""

import sys

import joblib
import mlflow.sklearn

mlflow.sklearn.save_model(
    joblib.load(sys.argv[1]), sys.argv[2], pyfunc_predict_fn="predict_proba", pip_requirements=[],
    serialization_format="cloudpickle",
)  # fmt: skip
