"""The block engine's machinery: journal and files of a disk, sockets, NBD, FUSE, and the processes that own them."""
