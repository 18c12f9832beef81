package main

import "syscall"

// childAttributes makes the child die with the thread that starts it. It is in
// a group of its own, which Ctrl-C in a terminal does not reach: the demo ends
// its children in order.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
