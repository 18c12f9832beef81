//go:build !linux

package main

import "syscall"

// childAttributes leaves the child in the terminal's process group: if the demo is killed, only
// Ctrl-C in the terminal reaches it.
func childAttributes() *syscall.SysProcAttr { return nil }
