"""Recording: the queue, its one writer thread, merging, and the statements that write.

Queries of the recorded rows are in `store.queries`.
"""
