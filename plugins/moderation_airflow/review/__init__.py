"""What the Dags about reviewing do: `queues` after each publish, `numbers` each week."""
