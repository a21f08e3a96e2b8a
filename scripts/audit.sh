#!/bin/sh
# Look up what a Python has installed among published advisories: audit.sh PYTHON
# Ends with 1 when a package has one, and says NOT AUDITED of what nobody could be asked about.
# pip-audit gets an environment of its own, so that it does not audit itself.
set -u
python=${1:-.venv/bin/python}
tool=.venv-audit/bin/python
wanted=$(mktemp) && one=$(mktemp) && said=$(mktemp) || exit 2
trap 'rm -f "$wanted" "$one" "$said"' EXIT

not_audited() {
    echo "NOT AUDITED: $1"
    exit 0
}

"$python" -m pip freeze --exclude-editable --disable-pip-version-check >"$wanted" || exit 2
[ -x "$tool" ] || "$python" -m venv .venv-audit || exit 2
"$tool" -m pip_audit --version >/dev/null 2>&1 ||
    "$tool" -m pip install -qq --no-compile --disable-pip-version-check pip-audit >/dev/null 2>&1 ||
    not_audited "pip-audit cannot be installed from here."
# It asks package by package; a server that never answers must not hold everything up.
limit=$(command -v timeout >/dev/null && echo "timeout 300")
ask() {
    $limit "$tool" -m pip_audit --vulnerability-service "$1" --timeout 10 --progress-spinner off \
        --no-deps --disable-pip -r "$2" >"$said" 2>&1
}
# The package index first, then OSV; each about one package before it is asked about all.
head -n 1 "$wanted" >"$one"
for service in pypi osv; do
    ask $service "$one" || grep -Eq "^Found [0-9]+ known" "$said" || continue
    # It ends well also where it could not ask about a single package.
    grep -q "could not be audited" "$said" && continue
    ask $service "$wanted"
    status=$?
    if grep -Eq "^Found [0-9]+ known" "$said"; then
        cat "$said"
        exit 1
    fi
    missed=$(grep -c "could not be audited" "$said")
    [ "$missed" = 0 ] ||
        not_audited "$missed of $(wc -l <"$wanted") packages; $service knows nothing of them."
    [ $status = 0 ] || not_audited "$service stopped to answer."
    echo "No known advisories for $(wc -l <"$wanted") packages."
    exit 0
done
not_audited "advisories can be read neither from the package index used here nor from OSV."
