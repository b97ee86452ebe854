"""The block engine beside Ceph RBD and the raw disk, in one run."""
