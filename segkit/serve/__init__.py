"""A trained network behind HTTP: a page to try it, and an address that takes pictures and gives masks."""
