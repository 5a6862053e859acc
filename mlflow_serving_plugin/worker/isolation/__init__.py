"""How a worker takes from itself what its model does not need, after the fork and before it reads the model.

Fed by the zygote's fork (``keeper``), with a plan that the backend has made (``backends.sandbox``). Three layers, of
which each holds without the others: namespaces with a file system of their own (``namespaces``, ``view``), Landlock
(``landlock``), and a filter of system calls (``seccomp``). ``check`` tries each layer, and says which of them this
machine grants.

Standard library, Python 3.8 or later. No library of the standard library's reach knows these system calls, so
``calls`` makes them through ctypes. ``calls`` is the only module here that does.
"""
