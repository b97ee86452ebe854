"""What recovery does to files, to worker threads and to the network."""
