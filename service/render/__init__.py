"""Pictures of an answer: the mask, the overlay, and the files they are sent as."""
