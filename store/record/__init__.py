"""Recording: the queue, its one writer thread, merging, and the statements that write.

Questions about what was recorded belong to `store.queries`.
"""
