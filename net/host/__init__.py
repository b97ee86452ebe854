"""Everything of this package that touches the machine: netlink, nftables, conntrack, sockets; and its twin."""
