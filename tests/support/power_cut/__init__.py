"""Reproduces what a power cut, or the end of a process, leaves of the files that a process was
writing.
"""
