"""What is made from the parsers of the two commands: completions for shells, and manual pages.

``python -m generate`` (``make generated``) writes them where they are kept, in the repository, so that
neither an installation nor a launch has to make any. Nothing that is shipped imports this.
"""
