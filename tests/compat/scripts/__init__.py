"""The scripted sessions of the differential test: one module per group of APIs.

A script is a function taking a Session; its first docstring line says what it covers. It must ask
the same things in the same order whatever broker answers.
"""
