"""All that touches the machine: the log on disk and on the wire, keys and certificates, doors, announcements."""
