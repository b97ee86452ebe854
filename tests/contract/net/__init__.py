"""Networks on the real kernel: hosts and guests are network namespaces, and everything between them is ours."""
