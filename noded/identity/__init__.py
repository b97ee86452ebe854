"""Who may do what, and where everything is: Keystone's part (Identity API v3). One folder a resource.

model.py        every record of identity, since tokens are read from all of them at once
standing.py     what a user may do in a scope, now; the only place that follows roles
domains/ projects/ users/ roles/ grants/ tokens/ catalog/ versions/
host/           password hashing, which takes memory and time on purpose
"""
