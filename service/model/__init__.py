"""The model: its package, what it is fed, what runs it, and what its answer means."""
