package main

import "syscall"

// childAttributes makes the child die with the thread that started it, and puts it in a process
// group of its own, which Ctrl-C in a terminal does not reach: the demo stops its children in
// order.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
