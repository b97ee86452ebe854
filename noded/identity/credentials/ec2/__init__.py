"""EC2 credentials (Identity API v3, OS-EC2): pairs of an access key and a secret, made for a user and a project."""
