"""What is made of the sources and checked in them, by `make`.

api_docs          docs/api.md, from the API's description
shipped_size      how large the deployed function is, and what of it is heaviest
dependency_audit  known holes in what is pinned
rooms             who imports whom, and the map of it in docs/architecture.md
image_digests     names images by the digests that their tags have now
"""
