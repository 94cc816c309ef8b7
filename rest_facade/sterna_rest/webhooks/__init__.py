"""`/v1/webhooks`: HTTP addresses that are told what happens."""
