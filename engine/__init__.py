"""How pixels are made. The only place that knows torch."""
