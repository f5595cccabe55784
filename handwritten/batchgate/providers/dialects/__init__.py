"""Pure translations of rows between dialects, with their rules as data."""
