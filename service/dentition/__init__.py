"""What is known of teeth as such: FDI numbers, arches, neighbours."""
