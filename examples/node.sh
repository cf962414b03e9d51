#!/usr/bin/env bash
# Produce and consume from Node, with kafkajs.
. "$(dirname "$0")/common.sh"
reachable
need node; need npm
mkdir -p "$ROOT/.cache/example-node"
cp "$ROOT/examples/node.js" "$ROOT/.cache/example-node/"
cd "$ROOT/.cache/example-node"
[ -d node_modules/kafkajs ] || npm install --no-audit --no-fund --silent --fetch-retries 10 kafkajs@2.2.4
node node.js "$BROKER" "node-$RUN"
echo done
