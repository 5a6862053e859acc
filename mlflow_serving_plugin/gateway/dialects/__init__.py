"""Dialects: the formats of scoring requests and replies, one module each. Pure: no clock, no threads, no network.

Fed by ``addresses``, whose table says which dialect a path speaks, and by ``scoring``; feeds nothing. ``openapi``
alone reads files, and is called off the event loop.
"""
