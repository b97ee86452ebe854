"""When a reconciler runs."""
