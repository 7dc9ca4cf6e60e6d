"""The API over HTTP: one module for each route, put together by `_app` and served from `index`.

What they share begins with `_`: `_context` (stores and services), `_access` and `_local` (who may), `_middleware`
(what holds for every answer), `_problems` (errors), `_fields`, `_json`, `_paging` and `_shapes` (what goes in and
out), `_docs`, `_reference` and `_markdown` (the page that describes it).
"""
