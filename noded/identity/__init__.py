"""Who may do what, and where everything is: Keystone's part (Identity API v3). One folder a resource.

model.py        every record of identity, since tokens are read from all of them at once
standing.py     what a user may do in a scope, now; the only place that follows roles
places.py       the records of the catalogue that were made by hand; offers.py puts them beside the daemon's own APIs
domains/ projects/ users/ groups/ roles/ grants/ tokens/ versions/
regions/ services/ endpoints/ endpoint_filters/ policies/ credentials/ limits/ domain_config/
host/           password hashing, which takes memory and time on purpose
"""
