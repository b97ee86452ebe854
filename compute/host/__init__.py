"""Guests on this machine: libvirt and QEMU, the proof of KVM, console logs, and a machine in memory only."""
