"""Sessions of other libraries: their strings and files, and what they contain."""
