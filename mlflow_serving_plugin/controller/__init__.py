"""Makes what runs equal to what should run: leader, loop, desired, plan (pure), execute, backoff.

Fed by ``store``, ``registry`` and nudges; feeds ``backends`` and the routes snapshot.
"""
