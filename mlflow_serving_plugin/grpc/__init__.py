"""The Open Inference Protocol (V2) over gRPC, in a process of its own per host. Needs the extra ``[grpc]``.

Fed by gRPC clients; feeds the gateway, by the same routes below ``/v2`` that HTTP clients use.
"""
