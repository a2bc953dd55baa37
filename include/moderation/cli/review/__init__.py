"""Commands about what people decide: `verdicts`, `numbers`."""
