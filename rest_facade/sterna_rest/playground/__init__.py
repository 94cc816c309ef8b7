"""The playground: a page to talk with the server's models, served by the server itself."""
