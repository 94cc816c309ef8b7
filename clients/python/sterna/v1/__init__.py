"""Generated messages and stubs of the protocol `sterna.v1`. The proto files document them."""
