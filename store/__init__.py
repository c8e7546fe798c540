"""The database and its meaning: models, schema, recording, analysis and queries.

Here belongs all that the addon and the scripts share. This folder imports neither of them. `record` writes, `analysis`
is pure, `queries` reads.
"""
