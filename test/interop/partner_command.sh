#!/bin/sh
# A partner of the interop cases: flock(1) with a command. See partner.mjs for what it is told and
# says. The command is a shell that goes on reading what this one is told; flock itself holds.
path=$1

hold='echo "held $PPID"; read -r unlock'

echo ready
while read -r verb first second; do
  case $verb in
    lock | try)
      flock -n -o -E 75 "-${first%?}" "$path" sh -c "$hold"
      status=$?
      if [ $status = 75 ] && [ "$verb" = lock ]; then
        echo waits
        flock -o "-${first%?}" "$path" sh -c "$hold"
        status=$?
      fi
      case $status in
        0) echo unlocked ;;
        75) echo refused ;;
      esac
      ;;
    count)
      i=0
      while [ $i -lt "$second" ]; do
        flock "$path" sh -c 'read -r value < "$1"; echo $((value + 1)) > "$1"' sh "$first"
        i=$((i + 1))
      done
      echo counted
      ;;
  esac
done
