#!/bin/sh
# Regenerates plugins/pb from objective.proto. Needs Python with grpcio-tools (for the protobuf
# compiler) and, on PATH, the two Go generators at the versions below.
#
#   pip install grpcio-tools==1.85.1
#   go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12
#   go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.0
set -eu
cd "$(dirname "$0")"
"${PYTHON:-python3}" -m grpc_tools.protoc -I . \
	--go_out=pb --go_opt=paths=source_relative \
	--go-grpc_out=pb --go-grpc_opt=paths=source_relative \
	objective.proto
