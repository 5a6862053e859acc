"""What callers do with endpoints, configurations and tokens, whatever protocol the call arrived by.

Fed by the control APIs with a caller and plain values; checks permissions, changes ``store``, tells the controller.
"""
