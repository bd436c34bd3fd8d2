# Builds the millrace command in one stage and carries only what it runs with into the next.
FROM debian:bookworm-slim AS build
RUN apt-get update -q \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
      g++ cmake ninja-build pkg-config libpqxx-dev libpq-dev libfmt-dev libspdlog-dev nlohmann-json3-dev libcli11-dev libvalijson-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN cmake --preset release && cmake --build --preset release --target millrace_cli && \
    find build/release -maxdepth 3 -type f -name millrace -perm -u+x -exec install -D -m 755 {} /out/millrace \;

FROM debian:bookworm-slim
RUN apt-get update -q \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends libpqxx-6.4 libpq5 libfmt9 libspdlog1.10 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --no-create-home --shell /usr/sbin/nologin millrace
COPY --from=build /out/millrace /usr/local/bin/millrace
USER millrace
ENTRYPOINT ["millrace"]
CMD ["--help"]
