"""What the engine needs from the outside, one Protocol a module; each has one contract suite that every implementation passes."""
