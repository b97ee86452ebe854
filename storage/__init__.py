"""Floor 3: disks, replicated extents, volumes."""
