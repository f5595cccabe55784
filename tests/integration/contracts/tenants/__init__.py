"""Contract tests of `TenantStore`."""
