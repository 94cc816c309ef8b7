"""The composition root: the command line, the settings and the Python SDK.

The only package that knows both the gRPC core (`sterna_service`) and the façade (`sterna_rest`).
"""
