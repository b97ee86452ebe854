"""Two hundred kills in the middle of what users do with volumes: does everything settle, and match the machines?"""
