"""The same job in other engines, each as somebody who knows it well would write it."""
