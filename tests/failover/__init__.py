"""Two gateways and three workers on one database, and what is left of a batch when some of them are killed."""
