"""The entry point: Vercel's FastAPI preset, `uvicorn api.index:app` and the Lambda handler all serve this."""

from api._app import create_app

app = create_app()
