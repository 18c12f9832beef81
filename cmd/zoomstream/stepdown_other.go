//go:build !unix

package main

import "context"

// stepDownSignals: there is no such signal here.
func stepDownSignals(context.Context) <-chan struct{} { return nil }
