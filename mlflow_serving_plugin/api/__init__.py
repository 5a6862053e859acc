"""The control APIs over HTTP: views that parse a request, call an operation and shape the reply.

Fed by ``dispatch``; feeds ``operations``.
"""
