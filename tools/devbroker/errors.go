package devbroker

import "errors"

// ErrInUse marks a data directory that another broker is using.
var ErrInUse = errors.New("data directory is in use")
