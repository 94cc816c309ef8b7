"""The settings by subject: one file and one class for each section.

A new setting is a field, with its default and one line about it, in the file of its section. A new
section is a class that `settings.Settings` inherits.
"""
