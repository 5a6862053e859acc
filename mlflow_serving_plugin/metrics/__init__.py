"""What the processes of the host count: in memory, in files, and as Prometheus shows it.

Fed by gateway, controller and workers; feeds ``/serving/metrics``.
"""
