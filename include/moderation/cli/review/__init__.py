"""Commands about what people decide: `verdicts`."""
