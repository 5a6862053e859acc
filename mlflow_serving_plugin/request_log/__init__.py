"""The log of requests and answers, in the twelve columns of Databricks' inference tables.

Web workers never wait for the log: what they answered goes by a bounded queue into *segments*, files of the state
directory that a thread appends to. One process of the host, the *writer*, turns segments into Parquet files or Delta
tables and removes them. A process that is killed leaves whole records in its segment, and the next writer takes them.
"""
