"""Something to look at: the page, the JSON API and the metrics, read from the database that the proxy writes.

Nothing here waits for the proxy or is waited for by it: each request opens the file for reading, answers, and closes
it again.
"""
