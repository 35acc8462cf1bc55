#!/usr/bin/env bash
# Packs what scripts/gpu-check.sh needs on a Linux x86-64 machine that has an NVIDIA GPU, Python with torch, CMake, Ninja and a C++20
# compiler, but no Node and no network: a Node binary, the few npm files to build and run, and our own TypeScript compiled. Everything
# else (native/, CMakeLists.txt, tests' data) travels with the checkout. Result: .gpu/pack.tar.gz, at most 64 MiB.
#   STRATABERT_SHARED   where enwiki_parsed/enwiki_half.conllu.xz lies, parsed text for the recipe (default ../shared/data)
set -euo pipefail
cd "$(dirname "$0")/.."
limit=$((64 * 1024 * 1024))

if [[ $(uname -sm) != 'Linux x86_64' ]]; then
  echo "error: the pack is made of this machine's own Node; Linux x86_64 was expected, this is $(uname -sm)" >&2
  exit 2
fi
if [[ ! -d node_modules/typescript || ! -d node_modules/tokenizers ]]; then
  echo 'error: node_modules is not complete; run npm install' >&2
  exit 2
fi

mkdir -p .gpu
stage=$(mktemp -d .gpu/stage.XXXXXX)
trap 'rm -rf "$stage"' EXIT

# Our sources keep their folders, so that paths between them hold. Types are checked by `npm run types`.
cat > "$stage/tsconfig.json" <<JSON
{
  "extends": "../../tsconfig.json",
  "compilerOptions": { "noEmit": false, "noCheck": true, "rootDir": "../..", "outDir": "app" },
  "include": ["../../lib", "../../scripts/gpu-check.ts", "../../test/helpers/device-child.ts"]
}
JSON
node node_modules/typescript/bin/tsc -p "$stage/tsconfig.json"
app=$stage/app

cp "$(node -p process.execPath)" "$app/node"
chmod u+w "$app/node"
strip --strip-all "$app/node" 2> /dev/null || echo 'note: strip is missing; the Node binary stays as it is' >&2

modules=$app/node_modules
mkdir -p "$modules"/{node-addon-api,node-api-headers,tokenizers,zod}
cp node_modules/node-addon-api/{package.json,LICENSE.md,napi.h,napi-inl.h,napi-inl.deprecated.h} "$modules/node-addon-api/"
cp -R node_modules/node-api-headers/{package.json,LICENSE,include} "$modules/node-api-headers/"
cp node_modules/tokenizers/{package.json,LICENSE,index.js,tokenizers.linux-x64-gnu.node} "$modules/tokenizers/"
for name in node-gyp-build commander yaml yauzl pend; do cp -RL "node_modules/$name" "$modules/"; done
# Only what `require` reads.
(cd node_modules/zod && find . -name '*.cjs' -not -path './src/*' -print0 | tar -c --null -T - package.json LICENSE) | tar -x -C "$modules/zod"
find "$modules" \( -name '*.d.ts' -o -name '*.d.mts' -o -name '*.map' -o -name '*.md' -not -name 'LICENSE*' \) -delete

parsed=${STRATABERT_SHARED:-../shared/data}/enwiki_parsed/enwiki_half.conllu.xz
if [[ -f $parsed ]]; then
  mkdir "$app/corpus"
  # Whole documents, read to the end: a closed pipe would fail.
  xz -dc "$parsed" | awk -v most=20000000 '/^# newdoc/ && bytes > most { full = 1 } !full { bytes += length($0) + 1; print }' |
    gzip -9 > "$app/corpus/parsed.conllu.gz"
else
  echo "note: $parsed is missing; the check will skip the recipe dacbert" >&2
fi

tar -C "$app" -cf - . | gzip -9 > .gpu/pack.tar.gz.new
size=$(stat -c %s .gpu/pack.tar.gz.new)
printf '%s: %d bytes (%.1f MiB of at most 64), Node %s\n' .gpu/pack.tar.gz "$size" "$(echo "$size" | awk '{print $1 / 1048576}')" "$(node --version)"
if ((size > limit)); then
  rm .gpu/pack.tar.gz.new
  echo "error: the pack is larger than $limit bytes" >&2
  exit 1
fi
mv .gpu/pack.tar.gz.new .gpu/pack.tar.gz
