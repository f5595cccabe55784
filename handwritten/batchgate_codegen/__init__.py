"""The one recipe that turns spec/ into generated/.

`render` writes everything that is generated into an empty folder; `nox -s generate` replaces generated/ with it and the
drift suite compares it with what is committed. Nothing else writes or judges generated code.
"""
