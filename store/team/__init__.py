"""A team's database: what the files of many machines have recorded, in one PostgreSQL.

Only modules in here import psycopg, and only once somebody has named such a database.
"""
