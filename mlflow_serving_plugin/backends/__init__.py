"""Where workers run. ``base`` is the contract, ``local`` runs them as processes of this host.

Fed by the controller; feeds it the state of each worker.
"""
