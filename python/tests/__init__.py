"""The tests of the SDK. They need the standard library only; run them with
``python3 -m unittest`` in this folder's parent.
"""
