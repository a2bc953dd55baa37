"""What the Dag that trains an adapter needs: `training`, seen from its start, and `approval` by a person."""
