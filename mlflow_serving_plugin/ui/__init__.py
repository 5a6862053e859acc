"""The Serving tab in MLflow's pages: the bundle built from ``js/``, and the one script tag that loads it."""
