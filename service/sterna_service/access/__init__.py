"""Who may call, and how much: keys, scopes and limits. Nothing here knows of gRPC."""
