"""Comparisons and measurements that need more than the installed server; see README.md."""
