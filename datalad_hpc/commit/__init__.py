"""The only room that writes Git: outputs of finished jobs become commits.

None of it compares the whole work tree with the index: what a job claimed is
compared with the tip of the branch, the changed files are hashed into a copy of
the index, the commits are written by one ``git fast-import``, the branch is
moved by compare-and-swap, and only then the index follows.
"""
