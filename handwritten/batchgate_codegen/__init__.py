"""Generates generated/ from spec/.

`render` writes all generated files to an empty folder. `nox -s generate` replaces generated/ with them, and the drift
suite compares them with the committed files. No other code writes or checks generated files.
"""
