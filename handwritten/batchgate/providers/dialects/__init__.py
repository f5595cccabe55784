"""Pure translations of rows from one dialect into another, their rules as data."""
