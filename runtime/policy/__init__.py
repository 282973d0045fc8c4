"""What was asked for, by flags, profiles, manifests and configuration, and what all of it comes to.

Here are the documents that people write, read strictly, and which of them wins; ``resolution`` puts them
together. Nothing is enforced here, and no process begins. May import ``capability``, ``secrets`` and
``kernel``.
"""
