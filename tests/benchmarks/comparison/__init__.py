"""What ``compare.py`` is made of: models and bodies, peers, the load, and the report."""
