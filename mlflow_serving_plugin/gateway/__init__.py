"""The scoring path: access, route, dialect, link to a worker, reply. ``core`` decides; ``asgi`` and ``wsgi`` drive it.

Fed by ``dispatch`` with requests and by the routes snapshot; feeds workers.
"""
