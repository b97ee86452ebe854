"""Does the log keep its word on real processes, whatever breaks? Nodes, their disks and cables, clients, and a judge.

    python -m tests.faults.log --faults 60 --seed 7

`docs/faults.md` says which faults there are and how to read the table.
"""
