"""The entry point: Vercel's FastAPI preset, `uvicorn api.index:app` and the Lambda handler all serve this."""

from agent import logs
from agent.settings import on_platform
from api._app import create_app

logs.configure(platform=on_platform())
app = create_app()
