"""What programs see: A1111-compatible routes, the jobs API, the security gate."""
