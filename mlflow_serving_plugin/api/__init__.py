"""The control API, as Flask blueprints.

Fed by ``dispatch``; reads the routes snapshot, writes ``store``, nudges the controller.
"""
