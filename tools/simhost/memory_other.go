//go:build !linux

package simhost

import "context"

// withMemory leaves memory to wazero.
func withMemory(ctx context.Context) context.Context { return ctx }
