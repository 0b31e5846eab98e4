#!/bin/sh
# Install erpose.service for the login that owns this bundle, at the place where it lies.
#
#   sudo sh integration/systemd/install.sh            installs, enables and starts it
#   sh integration/systemd/install.sh --print         only prints the unit
#   sudo sh integration/systemd/install.sh --user robot
#
# In the layout that `erpose-edge deploy --host` makes (releases/<id>, current) the service follows
# the link `current`; elsewhere it serves this folder.
set -eu

fail() {
    echo "error: $1" >&2
    exit 2
}

print=no
user=
while [ $# -gt 0 ]; do
    case "$1" in
        --print) print=yes ;;
        --user)
            [ $# -ge 2 ] || fail "--user: expected a login, got nothing"
            user="$2"
            shift ;;
        *) fail "expected --print or --user LOGIN, got '$1'" ;;
    esac
    shift
done

here="$(cd "$(dirname "$0")" && pwd -P)"
bundle="$(dirname "$(dirname "$here")")"
place="$bundle"
releases="$(dirname "$bundle")"
if [ "$(basename "$releases")" = releases ] && [ -L "$(dirname "$releases")/current" ]; then
    place="$(dirname "$releases")/current"
fi
[ -n "$user" ] || user="$(stat -c %U "$bundle")"
[ "$user" != root ] || fail "user: expected a login other than root, got root; give --user LOGIN"
# Neither may end a line or a pattern below.
case "$user" in
    '' | *[!A-Za-z0-9._-]*) fail "user: expected letters, digits, '.', '_' and '-', got '$user'" ;;
esac
case "$place" in
    *[!A-Za-z0-9._/@+-]*) fail "place: expected a path of letters, digits and ._/@+-, got '$place'; move it" ;;
esac

unit="$(sed -e "s|^User=.*|User=$user|" -e "s|^WorkingDirectory=.*|WorkingDirectory=$place|" "$here/erpose.service")"
if [ "$print" = yes ]; then
    printf '%s\n' "$unit"
    exit 0
fi
[ "$(id -u)" = 0 ] || fail "expected to be run by root, got $(id -un); put sudo in front of it"
target=/etc/systemd/system/erpose.service
printf '%s\n' "$unit" > "$target.new"
mv "$target.new" "$target"
systemctl daemon-reload
systemctl enable erpose
systemctl restart --no-block erpose
echo "installed $target for $user at $place; see: journalctl -u erpose -f"
