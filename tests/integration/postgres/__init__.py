"""What holds on PostgreSQL beside the contract of `Store`."""
