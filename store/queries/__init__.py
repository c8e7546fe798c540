"""The questions asked of the database, and the documents that answer them: one module for each topic.

Each function takes a connection of `store.database.open_reader` and reads in one transaction. Nothing heavy is imported
here, and nothing is written.
"""
