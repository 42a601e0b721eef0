"""Sessions of other libraries, written by the libraries themselves."""

pytest_plugins = ["support.libraries"]
