"""Every moment at which power may fail: what a disk was told is recorded, and stores are opened on each part of it."""
