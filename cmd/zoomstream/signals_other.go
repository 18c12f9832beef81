//go:build !unix

package main

import "context"

// This system has no such signals.

func stepDowns(context.Context) <-chan struct{} { return nil }

func hangUps(context.Context) <-chan struct{} { return nil }
