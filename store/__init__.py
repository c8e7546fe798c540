"""The database and its meaning: models, schema, recording, analysis and queries.

Everything that the addon and the scripts share is here. This folder imports neither of them. `record` writes,
`analysis` is pure, `queries` reads.
"""
