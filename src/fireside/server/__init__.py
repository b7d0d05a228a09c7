"""The API server: other people's APIs and our own behind one address. Thin: what a request means is told by ``wire``, the work is
the gateway's.
"""
