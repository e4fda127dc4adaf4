#!/usr/bin/env bash
# Builds the program of a release, checks it, and packs it with its bill of materials:
#
#   packaging/release/build.sh TARGET FOLDER
#
# TARGET is x86_64-unknown-linux-gnu or aarch64-unknown-linux-gnu, on a machine of that kind. In a job for a tag, the tag
# must name the version of Cargo.toml.
set -euo pipefail
target=${1:?usage: build.sh TARGET FOLDER} folder=${2:?usage: build.sh TARGET FOLDER}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
if [[ ${GITHUB_REF_TYPE-} == tag && $GITHUB_REF_NAME != "v$version" ]]; then
    echo "the tag $GITHUB_REF_NAME is not v$version, the version of Cargo.toml" >&2
    exit 1
fi

# The target is named, so that build scripts are not linked like the program.
RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --profile dist --locked --bin mintbench --target "$target"
program=${CARGO_TARGET_DIR:-target}/$target/dist/mintbench
packaging/release/check.sh "$program" "$version"

name=mintbench-$version-$target
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
mkdir -p "$stage/$name" "$folder"
cp "$program" README.md CHANGELOG.md SECURITY.md LICENSE-APACHE LICENSE-MIT "$stage/$name/"
cp -r packaging/systemd examples "$stage/$name/"
# Equal contents give equal bytes.
tar --sort=name --mtime="@$(git log -1 --format=%ct)" --owner=0 --group=0 --numeric-owner \
    -C "$stage" -c "$name" | gzip -9n >"$folder/$name.tar.gz"

# What the program is made of, in the form of CycloneDX.
tool=target/cargo-cyclonedx
[[ -x $tool/bin/cargo-cyclonedx ]] || cargo install --quiet --root "$tool" --version 0.5.9 --locked cargo-cyclonedx
PATH=$PWD/$tool/bin:$PATH cargo cyclonedx --quiet --format json --target "$target" --override-filename "$name.cdx"
mv "$name.cdx.json" "$folder/"
find . -name "$name.cdx.json" -not -path "./$folder/*" -delete
