"""Stand-ins that make scenarios fast and certain: a log that commits at once, nodes that share it."""
