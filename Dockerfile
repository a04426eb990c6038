# standpipe in an image with nothing else: no shell, no package manager, no libc.
#   docker build -t standpipe:0.1.0 --build-arg VERSION=0.1.0 .
# The build runs on the builder's own platform and cross-compiles.
FROM --platform=$BUILDPLATFORM golang:1.26.8-trixie AS build
ARG TARGETOS=linux
ARG TARGETARCH
ARG VERSION=devel
WORKDIR /src
# Modules first: they change less often than the source.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# nolocal leaves the laptop mode's embedded servers out of the production binary.
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -tags nolocal -ldflags "-s -w -X main.version=$VERSION" -o /out/standpipe ./cmd/standpipe
# A scratch image has no mkdir: the folder for state is made here, for its owner.
RUN mkdir -p /out/state

FROM scratch
# Time zones are inside the binary (time/tzdata); certificates are not.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/standpipe /standpipe
COPY --from=build --chown=65532:65532 /out/state /var/lib/standpipe
# 65532 is the customary "nonroot" of images without /etc/passwd.
USER 65532:65532
# The one folder that is written; everything else may be mounted read-only.
WORKDIR /var/lib/standpipe
VOLUME /var/lib/standpipe
# The status page, bound to 127.0.0.1 unless StatusAddress says otherwise.
EXPOSE 9410
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 CMD ["/standpipe", "healthcheck"]
ENTRYPOINT ["/standpipe"]
CMD ["run", "--config", "/etc/standpipe/standpipe.yaml"]
