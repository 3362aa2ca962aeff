// A partner of the interop cases: Go's gofrs/flock. See partner.mjs for what it is told and says.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func acquire(lock *flock.Flock, wait bool, shared bool) bool {
	try, block := lock.TryLock, lock.Lock
	if shared {
		try, block = lock.TryRLock, lock.RLock
	}
	held, err := try()
	check(err)
	if !held && wait {
		fmt.Println("waits")
		check(block())
		return true
	}
	return held
}

func count(lock *flock.Flock, counter string, times int) {
	for i := 0; i < times; i++ {
		check(lock.Lock())
		text, err := os.ReadFile(counter)
		check(err)
		value, err := strconv.Atoi(strings.TrimSpace(string(text)))
		check(err)
		check(os.WriteFile(counter, []byte(strconv.Itoa(value+1)), 0o644))
		check(lock.Unlock())
	}
}

func main() {
	lock := flock.New(os.Args[1])
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		switch words[0] {
		case "lock", "try":
			if acquire(lock, words[0] == "lock", words[1] == "sh") {
				fmt.Println("held", os.Getpid())
			} else {
				fmt.Println("refused")
			}
		case "unlock":
			check(lock.Unlock())
			fmt.Println("unlocked")
		case "count":
			times, err := strconv.Atoi(words[2])
			check(err)
			count(lock, words[1], times)
			fmt.Println("counted")
		}
	}
}
