"""The subcommands of `sterna`, one module each: options in, one call, text out.

Each module has `register(app)`. Heavy imports wait until a command runs, so that `--help` is quick.
"""
