"""Who tries one password after the other, on whichever node? No service: all that lets users in passes here."""
