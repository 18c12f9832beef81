//go:build race

package simulation

func init() { slowed = true }
