"""Servers that are killed, disks that are full, databases that go away."""
