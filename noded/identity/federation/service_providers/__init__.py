"""Service providers: clouds that take the word of this one."""
