"""Every call of the clients, described once, by service.

`Client` and `AsyncClient` only carry these out. A function here takes the arguments of the method
with its name, and its docstring is that method's.
"""
