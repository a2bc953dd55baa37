"""What the Dag that trains an adapter needs: `approval` by a person, and its price."""
