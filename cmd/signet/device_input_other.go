//go:build !linux

package main

import (
	"errors"
	"os"
)

// hush is not known here: --pin-stdin is.
func hush(*os.File) (func(), error) { return nil, errors.New("only on Linux") }
