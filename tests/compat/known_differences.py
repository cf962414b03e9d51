"""Where Sluice's answers may differ from stock Kafka's, each with its reason.

An entry is (pattern, reason). The pattern is a regular expression that must match the whole
place of a difference, `<script>: <name of the step> (<API> v<version>) <path of the field>`, as
test_differential.py prints it. The fewer and narrower, the better.
"""
KNOWN = [
]
