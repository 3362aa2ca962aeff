#!/bin/sh
# A partner of the interop cases: flock(1) on a descriptor of the shell's. See partner.mjs for what
# it is told and says. Locked by a process that has ended, held by this one.
path=$1

acquire() { # verb mode
  exec 9<> "$path" || exit
  if flock -n "-$2" 9; then
    echo "held $$"
  elif [ "$1" = try ]; then
    echo refused
  else
    echo waits
    flock "-$2" 9 && echo "held $$"
  fi
}

count() { # file times
  i=0
  while [ $i -lt "$2" ]; do
    exec 9<> "$path"
    flock -x 9
    read -r value < "$1"
    echo $((value + 1)) > "$1"
    exec 9>&-
    i=$((i + 1))
  done
  echo counted
}

echo ready
while read -r verb first second; do
  case $verb in
    lock | try) acquire "$verb" "${first%?}" ;; # ex: -e, sh: -s
    unlock) flock -u 9 && exec 9>&- && echo unlocked ;;
    count) count "$first" "$second" ;;
  esac
done
