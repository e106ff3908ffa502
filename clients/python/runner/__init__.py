"""The runner of the conformance cases: says what the client does, and judges nothing."""
