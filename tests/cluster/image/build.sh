#!/usr/bin/env bash
# Build the image of the Dockerfile without Docker, on a base of debootstrap, and hold what the docs say of it.
#   build.sh FOLDER        its layers are kept there; needs root, debootstrap and buildah
# BUILD_OPTIONS are given to buildah, such as a volume with pip's settings of a network that has its own.
set -euo pipefail
cd "$(dirname "$0")/../../.."
folder=$1
for program in debootstrap buildah; do
    command -v "$program" >/dev/null || { echo "apt install debootstrap buildah, and run this again" >&2; exit 1; }
done
test "$(id -u)" = 0 || { echo "debootstrap needs root" >&2; exit 1; }
mkdir -p "$folder"
chmod 700 "$folder"
cat >"$folder/storage.conf" <<CONF
[storage]
driver = "${STORAGE_DRIVER:-overlay}"
runroot = "$folder/run"
graphroot = "$folder/layers"
CONF
export CONTAINERS_STORAGE_CONF=$folder/storage.conf BUILDAH_ISOLATION=chroot
version=$(sed -n 's/^apache-airflow==\([^ ]*\).*/\1/p' requirements-image.txt)
base=localhost/airflow:slim-$version-python3.11
read -ra options <<<"${BUILD_OPTIONS:-}"

if ! buildah inspect --type image "$base" >/dev/null 2>&1; then
    debootstrap --variant=minbase bookworm "$folder/debian" >"$folder/debootstrap.log"
    container=$(buildah from scratch)
    buildah add -q "$container" "$folder/debian" / >/dev/null
    buildah commit -q "$container" localhost/debian:bookworm >/dev/null
    buildah rm "$container" >/dev/null
    rm -rf "$folder/debian"
    buildah bud -q "${options[@]}" --build-arg "AIRFLOW_VERSION=$version" -t "$base" \
        -f tests/cluster/image/base.dockerfile .
fi
buildah bud -q "${options[@]}" --build-arg "BASE_IMAGE=$base" -t localhost/moderation .
buildah images

container=$(buildah from localhost/moderation)
trap 'buildah rm "$container" >/dev/null' EXIT
# shellcheck disable=SC2016 # for the shell inside
buildah run "$container" -- bash -euc '
    test "$(id -u):$(id -g)" = 50000:0
    for place in /opt/airflow/include /opt/airflow/include/moderation /opt/airflow/plugins; do
        ! test -w "$place" || { echo "$place can be written by who runs" >&2; exit 1; }
    done
    for program in g++ gcc cc make; do
        ! command -v "$program" || { echo "the image has a compiler" >&2; exit 1; }
    done
    ! python -c "import local_aws" 2>/dev/null || { echo "the offline stand-ins are in the image" >&2; exit 1; }
    pip check
    python -m moderation.cli --version
    python -c "from moderation.flatten.native import library; print(library.build())"
    airflow version
'
