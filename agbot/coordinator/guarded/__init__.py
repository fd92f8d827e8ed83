"""The coordinator's part of the guard: takes in what the triggers have decided, and guides them.

The triggers decide by the lease and by gates. What they refuse without a gate is a question to the
coordinator, which answers it like any other: the answer is the lease itself, which the triggers
read when the agbot tries again.
"""
