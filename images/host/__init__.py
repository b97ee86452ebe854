"""Where image bytes touch the machine: files, hashes, and qemu-img."""
