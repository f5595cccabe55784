"""What the tests share: processes, servers, factories."""
