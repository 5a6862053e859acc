"""How the workers of a node are reached from other hosts: one TCP port a node, and a proof for each connection.

Fed by links of the frames protocol; feeds the workers' unix sockets, which know nothing of all this.
"""
