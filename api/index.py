"""The entry point: Vercel's FastAPI preset, `uvicorn api.index:app` and the Lambda handler all serve this."""

import gc

gc.disable()  # imports leave nothing to collect, and looking for it is a tenth of a cold start

from agent.process import logs  # noqa: E402
from agent.process.environment import on_platform  # noqa: E402
from api._app import create_app  # noqa: E402

logs.configure(platform=on_platform())
app = create_app()

gc.freeze()  # nor will it be garbage later on
gc.enable()
