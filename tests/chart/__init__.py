"""Tests of the Helm chart, rendered by Helm's own library; ``nox -s chart`` has the packages that they need."""
