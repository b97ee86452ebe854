"""Access rules of users: what their application credentials may be narrowed to."""
