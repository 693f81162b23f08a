//go:build profile

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"time"
)

// A binary built with the tag "profile" writes where its processor time goes,
// ten seconds to a file: scripts/profile makes of that what the compiler of the
// real binary goes by. The real binary has nothing of this.
func init() {
	go func() {
		for n := 0; ; n++ {
			if err := profile(fmt.Sprintf("%d-%d.pprof", os.Getpid(), n), 10*time.Second); err != nil {
				fmt.Fprintln(os.Stderr, "profile:", err)
				return
			}
		}
	}()
}

func profile(name string, length time.Duration) error {
	f, err := os.Create(filepath.Join(os.Getenv("PROFILE_TO"), name))
	if err != nil {
		return err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return err
	}
	time.Sleep(length)
	pprof.StopCPUProfile()
	return f.Close()
}
