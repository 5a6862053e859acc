"""What the processes of one host share through the state directory: paths, routes snapshot, nudges, lease, locks.

The controller writes the snapshot and the lease and hears the nudges; every web worker reads and sends them.
"""
