#!/usr/bin/env bash
# Opens reports in headless Chromium: nothing may be logged to its console, and what it made of the
# page must have the axes and the figures of run.json.
#
#   tests/report/browser.sh target/release/mintbench [FOLDER_FOR_SCREENSHOTS]
#
# Without Chromium, and where it cannot be installed (that takes root and apt-get), this says that it
# was skipped and ends with 0.
set -euo pipefail
binary=$(realpath "${1:?the mintbench binary}")
pictures=${2:-}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

browser=
find_browser() {
    local name
    for name in chromium chromium-browser google-chrome; do
        if command -v "$name" >/dev/null; then
            browser=$name
            return
        fi
    done
}
find_browser
if [[ -z $browser ]] && ((EUID == 0)) && command -v apt-get >/dev/null; then
    echo "installing chromium"
    apt-get update -qq || true
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium >/dev/null || true
    find_browser
fi
if [[ -z $browser ]]; then
    echo "browser: SKIPPED: there is no chromium, and it could not be installed"
    exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

open_page() {
    # A profile of its own, so that nothing of the user's browser is read or changed.
    "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars \
        --user-data-dir="$work/profile" --enable-logging=stderr "$@"
}

check_page() {
    local name=$1 page=$2
    timeout 120 bash -c "$(declare -f open_page); browser=$browser; work=$work; open_page --dump-dom 'file://$page'" \
        >"$work/dom.html" 2>"$work/log"
    if grep -F ':CONSOLE' "$work/log"; then
        echo "browser: $name: the console has messages" >&2
        return 1
    fi
}

# On a desk and on a phone, no table runs out of its box. The copy of the page may run a script, which
# complains on the console.
check_width() {
    local name=$1 page=$2
    sed -e 's/<meta http-equiv="Content-Security-Policy"[^>]*>//' "$page" >"$work/wide.html"
    cat >>"$work/wide.html" <<'SCRIPT'
<script>
for (const box of document.querySelectorAll(".facts, body"))
  if (box.scrollWidth > box.clientWidth + 1)
    console.error(`${box.ariaLabel ?? "the page"}: ${box.scrollWidth} px in ${box.clientWidth} px`);
</script>
SCRIPT
    # A window is at least 500 wide: a frame of 390 stands for a phone.
    printf '<!doctype html><iframe src="wide.html" width="390" height="5200"></iframe>' >"$work/phone.html"
    open_page --window-size=1400,2800 --dump-dom "file://$work/wide.html" >/dev/null 2>"$work/log.desk"
    open_page --window-size=500,5200 --dump-dom "file://$work/phone.html" >/dev/null 2>"$work/log.phone"
    if grep -F ':CONSOLE' "$work/log.desk" "$work/log.phone"; then
        echo "browser: $name: a table is cut off" >&2
        return 1
    fi
}

for folder in results/reference/*/; do
    name=$(basename "$folder")
    [[ -f $folder/run.json ]] || continue
    cp -r "$folder" "$work/$name"
    "$binary" report "$work/$name" >/dev/null
    check_page "$name" "$work/$name/report.html"
    python3 tests/report/dom.py "$work/dom.html" "$work/$name/run.json"
done

# Phases, objectives and long fractions, which no reference has.
python3 - "$work/churn/run.json" <<'PYTHON'
import json, sys
run = json.load(open(sys.argv[1]))
third = 100 / 3
times = dict.fromkeys(["p50", "p90", "p99", "p999", "max"], third)
of = {"count": 7, "errors": 0, "response_us": times, "service_us": times}
run["phases"] = [
    {"name": name, "start_s": 10.0 * at, "duration_s": 10.0, "arrivals": "poisson", "rate_target": third, "classes": {"hit": of}}
    for at, name in enumerate(["a-calm-beginning", "the-rush"])
]
run["slo"] = [
    {"objective": "p99<2ms", "phase": None, "measured_us": third, "met": True},
    {"objective": "hit.p99.9<20ms", "phase": "the-rush", "measured_us": third, "met": True},
]
run["validity"]["gaps"] = {"count": 9, "distance": third / 1000, "distance_intended": third / 1000, "limit": 0.05}
json.dump(run, open(sys.argv[1], "w"))
PYTHON
"$binary" report "$work/churn" >/dev/null
for page in "$work/churn" "$work/steady"; do
    check_width "$(basename "$page")" "$page/report.html"
done

"$binary" compare "$work/churn" "$work/rotate" --html "$work/compare.html" >/dev/null
check_page compare "$work/compare.html"

# A console error must be found, or the check above says nothing.
echo '<!doctype html><title>x</title><script>console.error("planted")</script>' >"$work/planted.html"
if check_page planted "$work/planted.html" >/dev/null 2>&1; then
    echo "browser: a planted console error was not noticed" >&2
    exit 1
fi

sed 's/class="wide facts"/class="wide facts" hidden/; s/<\/body>/<div class="facts" style="width:9px;overflow:auto"><p style="width:99px">x<\/p><\/div>&/' \
    "$work/steady/report.html" >"$work/planted.html"
if check_width planted "$work/planted.html" >/dev/null 2>&1; then
    echo "browser: a planted overflow was not noticed" >&2
    exit 1
fi

if [[ -n $pictures ]]; then
    mkdir -p "$pictures"
    page="file://$work/churn/report.html"
    open_page --window-size=1400,2800 --screenshot="$pictures/desktop.png" "$page" 2>/dev/null
    open_page --window-size=1400,2800 --blink-settings=preferredColorScheme=0 \
        --screenshot="$pictures/dark.png" "$page" 2>/dev/null
    printf '<!doctype html><style>body{margin:0}</style><iframe src="%s" width="390" height="5200" style="border:0"></iframe>' \
        "$page" >"$work/phone.html"
    open_page --window-size=500,5200 --screenshot="$pictures/phone.png" "file://$work/phone.html" 2>/dev/null
    open_page --no-pdf-header-footer --print-to-pdf="$pictures/print.pdf" "$page" 2>/dev/null
    open_page --window-size=1280,2400 --screenshot="$pictures/compare.png" "file://$work/compare.html" 2>/dev/null
fi
echo "browser: ok"
