"""Who may do what, and where everything is: Keystone's part (Identity API v3). One folder a resource.

model.py        every record of identity, since tokens are read from all of them at once
standing.py     what a user may do in a scope, now; the only place that follows roles
providers.py    the records of who is trusted from outside; claims.py and mapping.py read what they say of a user
delegations.py  the records of what users hand to others; acting.py says what a token made through one may do
places.py       the records of the catalogue that were made by hand; offers.py puts them beside the daemon's own APIs
domains/ projects/ users/ groups/ roles/ grants/ tokens/ versions/
regions/ services/ endpoints/ endpoint_filters/ policies/ credentials/ limits/ domain_config/
application_credentials/ trusts/ oauth1/ federation/ oidc/
host/           password hashing, which takes memory and time on purpose; asking OpenID Connect providers
"""
