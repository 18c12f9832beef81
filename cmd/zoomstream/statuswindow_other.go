//go:build !unix

package main

import "os"

// windowSize is unknown on this system.
func windowSize(*os.File) (rows, columns int) { return 0, 0 }
