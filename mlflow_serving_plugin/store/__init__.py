"""Our own tables, in the tracking server's database: endpoints and events.

Fed by the API (what is enabled) and the controller (events); feeds both.
"""
