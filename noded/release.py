"""Which release this is, and up to which level of commands it understands (see `Command.SINCE_LEVEL`)."""

from importlib.metadata import version

RELEASE = version("noded")
LEVEL = 1
