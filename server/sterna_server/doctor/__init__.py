"""`sterna doctor`: what a server would find here, before it is started."""
