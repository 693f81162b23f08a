package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// ticks is USER_HZ, which Linux fixes at 100 for everything it tells programs.
const ticks = 100

// cpuOf is the processor time that a process has used so far.
func cpuOf(pid int) time.Duration {
	if pid == os.Getpid() {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			panic(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		panic(err)
	}
	// The command in parentheses may hold spaces: count fields behind it.
	f := bytes.Fields(raw[bytes.LastIndexByte(raw, ')')+2:])
	user, _ := strconv.Atoi(string(f[11]))
	system, _ := strconv.Atoi(string(f[12]))
	return time.Duration(user+system) * time.Second / ticks
}

// rssOf is the resident memory of a process in MiB.
func rssOf(pid int) float64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		panic(err)
	}
	pages, _ := strconv.Atoi(string(bytes.Fields(raw)[1]))
	return float64(pages*os.Getpagesize()) / (1 << 20)
}
