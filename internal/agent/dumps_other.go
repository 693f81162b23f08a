//go:build !linux

package agent

import "errors"

// noDumps is an error where we do not know how: a device's desktop is Linux.
func noDumps() error { return errors.New("only Linux has a desktop agent") }
