//go:build !unix

package main

import "errors"

func (r *replica) stepDown() error { return errors.New("this system has no signal for it") }

func ignoreBackground() {}
