"""Several simulated hosts on one machine, each with its own kernel namespaces, disks, libvirtd and `noded`.

`python -m tests.lab up` starts them, the fixture `lab` gives the same to a test; README.md beside this file draws it.
"""
