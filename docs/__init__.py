"""The pages, and what puts pictures and measured figures into them."""
