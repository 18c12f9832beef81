//go:build !unix

package main

import "context"

// There are no such signals here.

func stepDowns(context.Context) <-chan struct{} { return nil }

func hangUps(context.Context) <-chan struct{} { return nil }
