"""The control API of the old product, ``…/mlflow/endpoints`` and ``…/mlflow/endpoints-v2``, under eight base paths."""
