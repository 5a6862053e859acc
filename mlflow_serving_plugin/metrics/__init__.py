"""What the processes of a host count, and how Prometheus sees it.

Fed by gateway, controller and workers; feeds ``/serving/metrics``. ``counting`` counts in memory, ``worker.counts``
writes one file per process, ``files`` sums the files, ``exposition`` shows the sums, ``controller`` merges the files
of ended processes.

Why not prometheus_client's multiprocess mode: it maps its files into memory, and on a full disk the kernel kills a
process that writes to such a page (SIGBUS), which would end web workers and models. It also keeps a file per process
for ever, and the series of deleted models with it: here the files of ended processes are merged, and series of
versions that are not served any more are dropped. Last, it needs prometheus_client in the model's environment, while
a worker has the standard library only.
"""
