//go:build !fault

package fault

// Point is a step: a process that is to die there dies.
func Point(string) {}

// Error is a step that may fail: the error that is to come of it, else nil.
func Error(string) error { return nil }
