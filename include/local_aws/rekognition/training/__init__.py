"""Custom Moderation adapters that are trained here, from CreateProjectVersion to an answering version.

``store`` (projects, versions and tags), ``ground_truth`` (what the manifests say), ``examples`` (what the
networks say of each image, kept on disk), ``learning`` (heads from examples), ``evaluation`` (counts and the
files that training leaves behind), ``training_run`` (one training), ``trainer`` (when).
"""
