"""Small parts that the other folders of the engine share."""
