"""What keeps the reconcilers going: woken by change and by time, with back-off after a fault."""
