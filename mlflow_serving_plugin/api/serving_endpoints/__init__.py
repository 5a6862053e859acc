"""Databricks' API of today, ``/api/2.0/serving-endpoints``, for its unchanged clients."""
