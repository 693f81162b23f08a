package main

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// hush stops a terminal from showing what is typed, until the function that it
// gives is called, or the program is interrupted. An error: it is no terminal.
func hush(f *os.File) (func(), error) {
	fd := int(f.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, err
	}
	quiet := *before
	quiet.Lflag &^= unix.ECHO
	quiet.Lflag |= unix.ICANON | unix.ISIG
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &quiet); err != nil {
		return nil, err
	}
	// A read of a terminal does not end with the first signal: this does.
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	show := func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, before) }
	go func() {
		select {
		case <-stop:
			show()
			os.Exit(exitFailed)
		case <-done:
		}
	}()
	return func() {
		signal.Stop(stop)
		close(done)
		show()
	}, nil
}
