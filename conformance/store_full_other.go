//go:build !linux && !darwin

package conformance

import "errors"

const canLimitFiles = false

func limitFiles(uint64) error { return errors.ErrUnsupported }
