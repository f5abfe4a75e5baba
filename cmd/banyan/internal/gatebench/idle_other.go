//go:build !linux

package gatebench

import "errors"

// fileLimit is not known here.
func fileLimit() (int, bool) { return 0, false }

func resident(int) (int64, error) { return 0, errors.ErrUnsupported }
