"""Tables of rows with columns: read from files, made into requests by a template, written again with the answers.

Everything here streams: memory holds a few rows, however long the table is.
"""
