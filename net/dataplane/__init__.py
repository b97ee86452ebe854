"""From records to what one machine must have: links, forwarding, filters, DHCP and metadata answers. Pure."""
