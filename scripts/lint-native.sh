#!/usr/bin/env bash
# Format and lint of the C++ in native/. The tools are the system's: on Debian
# and Ubuntu `apt-get install clang-format clang-tidy`.
set -euo pipefail
cd "$(dirname "$0")/.."
for tool in clang-format clang-tidy; do
  command -v "$tool" > /dev/null || {
    echo "lint: $tool is missing (Debian, Ubuntu: apt-get install clang-format clang-tidy)" >&2
    exit 1
  }
done
clang-format --dry-run --Werror native/*.cc native/*.h test/native/* test/*/*.c
headers=$(node -p "require('node:path').resolve(process.execPath, '../../include/node')")
clang-tidy --quiet native/{addon,waiters,record,lock_posix,home_posix,signals_posix,file_mode_linux,wait_posix,wait_linux,process_linux,exec_linux,state_linux,watch_posix,marks_linux,bond_linux,addon_linux}.cc -- \
  -std=c++17 -Wall -Wextra -Wshadow -DNAPI_VERSION=8 -DNODE_ADDON_API_DISABLE_DEPRECATED \
  -DNAPI_DISABLE_CPP_EXCEPTIONS -D_GNU_SOURCE -isystem "$headers" -isystem node_modules/node-addon-api \
  2> >(grep -v 'warnings generated\|Suppressed\|Use -header-filter' >&2)
