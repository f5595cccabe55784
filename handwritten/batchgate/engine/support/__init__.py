"""Building blocks that several folders of the engine use."""
