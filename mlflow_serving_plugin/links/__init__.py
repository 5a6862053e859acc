"""Everything that calls a worker: addresses, calls, one link per protocol and kind of web worker.

Fed by the gateway and by the backends' probes; feeds workers.
"""
