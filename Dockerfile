# One image for the worker, the feed and the simulator; the command says which.
FROM python:3.12-slim AS build
WORKDIR /src
COPY . .
# Compiled once here: ccxt alone takes seconds to compile at every start otherwise.
RUN pip install --no-cache-dir --prefix=/install -r requirements.lock && pip install --no-cache-dir --prefix=/install --no-deps . \
    && python -m compileall -q /install

FROM python:3.12-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/hypertrader hypertrader
COPY --from=build /install /usr/local
USER hypertrader
WORKDIR /var/lib/hypertrader
ENV HYPERTRADER_STATE_DIR=/var/lib/hypertrader/state PYTHONUNBUFFERED=1
ENTRYPOINT ["hypertrader"]
CMD ["worker"]
