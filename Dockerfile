# The API, the ticker and the mock vendors, in one image: `docker compose up`, or docs/deploy.md step by step.
# Nothing in it needs to write: run it with a read-only root.

FROM python:3.12.12-slim-bookworm AS build
WORKDIR /build
COPY requirements.txt requirements-server.txt ./
RUN python -m venv /opt/purser \
 && /opt/purser/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-compile \
    --require-hashes --no-deps --only-binary=:all: -r requirements-server.txt \
 && /opt/purser/bin/python -m compileall -q /opt/purser/lib \
 && /opt/purser/bin/python -m pip uninstall --quiet --yes pip

FROM python:3.12.12-slim-bookworm
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin purser
WORKDIR /srv/purser
COPY --from=build /opt/purser /opt/purser
COPY net net
COPY x402 x402
COPY vendors vendors
COPY agent agent
COPY api api
COPY gpu_vendor_mock gpu_vendor_mock
COPY scripts scripts
RUN /opt/purser/bin/python -m compileall -q net x402 vendors agent api gpu_vendor_mock scripts
ENV PATH=/opt/purser/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 10001
EXPOSE 3000
HEALTHCHECK --interval=15s --timeout=6s --start-period=20s --retries=3 \
    CMD ["python", "-m", "scripts.serve.healthy", "http://127.0.0.1:3000/api/health"]
CMD ["python", "-m", "scripts.cli", "serve", "--host", "0.0.0.0", "--port", "3000", "--json"]
