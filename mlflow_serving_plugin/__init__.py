"""Serve every registered model from the MLflow tracking server: ``mlflow server --app-name serving``.

Two flows run through the package. Scoring: ``dispatch`` → ``gateway`` → a worker. Control: the Model
Registry and ``api`` → ``store`` → ``controller`` → ``backends`` → a worker.
"""

__version__ = "0.1.0"
