# shellcheck shell=bash
# Sourced after scripts/lib.sh by tests that begin with a released version.

RELEASES=$CRM_ROOT/tests/upgrade/schemas

# use_releases DIR: from here on the programs are those of a copy of the private tree, which can also install the released versions.
use_releases() {
    local script
    cp -a "$PG_TREE" "$1"
    PG_BIN=$1/lib/postgresql/$PG/bin
    EXTENSIONS=$1/share/postgresql/$PG/extension
    for script in "$RELEASES"/crm_ext--*.dump.sql; do
        script=${script%.dump.sql}.sql
        cp "$script" "$EXTENSIONS"
    done
}

# In the order of versions.
released_versions() {
    local script
    for script in "$RELEASES"/crm_ext--*.dump.sql; do
        script=${script##*--}
        say "${script%.dump.sql}"
    done | sort -V
}
