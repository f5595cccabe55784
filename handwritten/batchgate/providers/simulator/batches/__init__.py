"""Simulated batch APIs: the files and batches that providers have of their own, for tests of clients that drive them.

``job`` is one batch job over time, whatever its wire; ``wire`` is what a wire format adds to it. The modules
``openai_*`` and ``anthropic_*`` speak the two families of APIs, and ``app`` mounts them on the simulator's application.
"""
