//go:build unix

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// windowSize returns the size of a terminal; 0 if it is unknown.
func windowSize(f *os.File) (rows, columns int) {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	return int(size.Row), int(size.Col)
}
