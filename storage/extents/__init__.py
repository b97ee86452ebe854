"""The block engine's rules: where extents live, what goes over the wire, who may write. No sockets, files or clocks."""
