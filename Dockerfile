# One static binary and nothing else.
#   docker build -t trellis . && docker run -p 127.0.0.1:8080:8080 -v trellis:/data trellis
FROM golang:1.26.8-bookworm AS build
WORKDIR /src
ENV GOCACHE=/go/build CGO_ENABLED=0
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/build \
    go build -trimpath -ldflags='-s -w' -o /out/trellis ./cmd/trellis && mkdir /out/data

FROM scratch
# For TLS to a graph server.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/trellis /usr/bin/trellis
# Owned by the unprivileged user, so that a fresh volume is, too.
COPY --from=build --chown=65532:65532 /out/data /data
ENV TRELLIS_LISTEN=:8080 TRELLIS_DATA=/data
VOLUME /data
EXPOSE 8080
USER 65532:65532
# The image has no shell and no curl: the binary asks the server's /livez itself.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["/usr/bin/trellis", "healthcheck"]
ENTRYPOINT ["/usr/bin/trellis"]
CMD ["serve"]
