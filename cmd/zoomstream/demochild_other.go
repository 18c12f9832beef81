//go:build !linux

package main

import "syscall"

// childAttributes leaves the child in the group of the terminal: only Ctrl-C
// there reaches it if the demo is killed.
func childAttributes() *syscall.SysProcAttr { return nil }
