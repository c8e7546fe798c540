"""SQL in, documents out: one module for each topic.

A function takes a connection of `store.database.open_reader` and returns a document of `store.documents`, or the plain
rows behind one. It runs in one read transaction, or in the caller's. Functions that are about accounts take the
accounts that the caller has read: a caller that reads accounts and then queries does both in one
`store.queries.cursors.read_transaction`, so that the plan of an account is as new as its limits.

Conclusions and sentences belong in `store.analysis`, text for a terminal in `scripts.render`, and statements that write
in `store.record`, `store.edits` and `store.retention`. Nothing heavy is imported here.
"""
